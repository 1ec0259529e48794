"""Says what is wrong with a report, field by field; runs only after it was refused.

It checks each field with the very type the decoder uses, so the two cannot disagree on one field.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from defib_api.ingest.report import Report, uses_more_than_there_is, vmid_is_sane

SHOWN = 60
BODY = "body"

NAME_RULE = (
    "parts of letters, digits, '-' and '_' separated by '.', each part at most 63 characters and"
    " neither beginning nor ending with '-'"
)
WORD_RULE = "at most 64 letters, digits, '.', '_', '+' or '-', beginning with a letter or digit"
EXPECTED: Mapping[str, str] = {
    "hostname": f"must be a host name of at most 253 characters: {NAME_RULE}",
    "vmid": "must be the VM's number in Proxmox, 100 to 999999999, as a number or as text",
    "node": f"must be the name of a Proxmox node, at most 63 characters: {NAME_RULE}",
    "status": "must be one word such as \"running\", at most 32 letters, digits, '-' or '_'",
    "cpuUsage": "must be a number from 0 to 100 (percent)",
    "ramUsage": "must be a number of MB from 0 to ramTotal",
    "ramTotal": "must be a number of MB from 1 to 2147483647",
    "diskUsage": "must be a number of MB from 0 to diskTotal",
    "diskTotal": "must be a number of MB from 1 to 1000000000000",
    "uptime": "must be a number of seconds from 0 to 10000000000",
    "bootId": f"must be {WORD_RULE}",
    "agentVersion": f"must be {WORD_RULE}",
    "smbiosUuid": "must be a UUID such as 4c4c4544-0042-4b10-8057-b6c04f4d3432",
    "worstDisk": "must be a mount point or drive, 1 to 255 characters without control characters",
    "worstDiskUsage": "must be a number of MB from 0 to worstDiskTotal",
    "worstDiskTotal": "must be a number of MB from 1 to 1000000000000",
    "ageSeconds": "must be a number of seconds from 0 to 604800 (a week)",
    "keyDigest": "must be the SHA-256 of the agent's key as 64 hexadecimal digits",
}
CONTRADICTIONS = (
    ("ramUsage", "ramTotal"),
    ("diskUsage", "diskTotal"),
    ("worstDiskUsage", "worstDiskTotal"),
)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong; `field` is its name in the JSON, or `body`."""

    field: str
    message: str


def explain(body: bytes, kind: type[Report] = Report) -> list[FieldError]:
    """Find everything that is wrong with a report that `decode` refused; never empty."""
    try:
        raw = msgspec.json.decode(body)
    except RecursionError:
        return [FieldError(BODY, "is nested too deeply; send one flat JSON object")]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return [FieldError(BODY, f"is not valid JSON in UTF-8: {error}")]
    if not isinstance(raw, dict):
        return [FieldError(BODY, "must be one JSON object, {...}")]
    found = [*_wrong_fields(raw, kind), *_contradictions(raw)]
    return found or [FieldError(BODY, "is not a report; see the API's documentation")]


def _wrong_fields(raw: Mapping[str, Any], kind: type[Report]) -> Iterator[FieldError]:
    for field in msgspec.structs.fields(kind):
        name = field.encode_name
        if name not in raw:
            if field.required:
                yield FieldError(name, f"is missing; it {EXPECTED[name]}")
        elif not _fits(name, raw[name], field.type):
            yield FieldError(name, f"{EXPECTED[name]}; got {_shown(raw[name])}")


def _fits(name: str, value: object, wanted: object) -> bool:
    if name == "vmid" and not vmid_is_sane(value):
        return False
    try:
        msgspec.convert(value, wanted, strict=True)
    except msgspec.ValidationError:
        return False
    return True


def _contradictions(raw: Mapping[str, Any]) -> Iterator[FieldError]:
    for used, total in CONTRADICTIONS:
        pair = raw.get(used), raw.get(total)
        if all(_is_number(one) for one in pair) and uses_more_than_there_is(*pair):
            yield FieldError(used, f"must not be greater than {total} ({_shown(pair[1])})")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    """Show a value as JSON in ASCII, shortened: what came is shown, and can do no harm."""
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
