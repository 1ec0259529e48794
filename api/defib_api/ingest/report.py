"""What a report looks like, and how its bytes become one; a single pass where nothing is wrong.

This module knows the shape and the ranges; the words for what is wrong are in explain.py.
"""

import re
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
HOST_NAME = rf"\A{LABEL}(?:\.{LABEL})*\Z"
VMID_TEXT = re.compile(r"\A[1-9][0-9]{2,8}\Z")
VMID_LOWEST, VMID_HIGHEST = 100, 999_999_999
MAX_MIB = 2**31 - 1
MAX_DISK_MIB = 10**12
MAX_UPTIME = 10**10
"""Three centuries; what is above is not an uptime."""
EARLIEST, LATEST = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2000, 2100))
NO_UUID = frozenset({UUID(int=0), UUID(int=2**128 - 1)})
"""What firmware says that has none."""

Hostname = Annotated[str, Meta(min_length=1, max_length=253, pattern=HOST_NAME)]
NodeName = Annotated[str, Meta(max_length=63, pattern=rf"\A(?:{LABEL}(?:\.{LABEL})*)?\Z")]
Status = Annotated[str, Meta(pattern=r"\A[A-Za-z][A-Za-z0-9_-]{0,31}\Z")]
Word = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z")]
Percent = Annotated[float, Meta(ge=0, le=100)]
Used = Annotated[float, Meta(ge=0, le=MAX_MIB)]
Total = Annotated[float, Meta(ge=1, le=MAX_MIB)]
DiskUsed = Annotated[float, Meta(ge=0, le=MAX_DISK_MIB)]
DiskTotal = Annotated[float, Meta(ge=1, le=MAX_DISK_MIB)]
Mount = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[^\x00-\x1f\x7f]+\Z")]
Seconds = Annotated[float, Meta(ge=0, le=MAX_UPTIME)]


class Report(msgspec.Struct, rename="camel", gc=False, frozen=True):
    """One report. RAM and disk in MB (MiB), CPU in percent, uptime in seconds.

    Unknown fields are passed over, so that a newer agent may talk to an older API.
    """

    hostname: Hostname
    cpu_usage: Percent
    ram_usage: Used
    ram_total: Total
    vmid: int | str | None = None
    node: NodeName | None = None
    status: Status | None = None
    disk_usage: DiskUsed | None = None
    disk_total: DiskTotal | None = None
    uptime: Seconds | None = None
    timestamp: object = None
    boot_id: Word | None = None
    agent_version: Word | None = None
    smbios_uuid: UUID | None = None
    worst_disk: Mount | None = None
    worst_disk_usage: DiskUsed | None = None
    worst_disk_total: DiskTotal | None = None


_decoder = msgspec.json.Decoder(Report)


class Malformed(Exception):
    """The bytes are not a report; explain.py says what is wrong with them."""


def decode(body: bytes) -> Report:
    """Read a report, checking types and ranges; raises Malformed."""
    try:
        report = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(str(error)) from error
    if not is_consistent(report):
        raise Malformed("fields contradict each other or are out of range")
    return report


def is_consistent(report: Report) -> bool:
    """False where fields contradict each other, or the VMID is none."""
    return (
        report.ram_usage <= report.ram_total
        and vmid_is_sane(report.vmid)
        and not uses_more_than_there_is(report.disk_usage, report.disk_total)
        and not uses_more_than_there_is(report.worst_disk_usage, report.worst_disk_total)
    )


def vmid_is_sane(vmid: object) -> bool:
    """True for a VMID as number or as text, and for none at all."""
    if vmid is None:
        return True
    if isinstance(vmid, str):
        return VMID_TEXT.match(vmid) is not None
    return type(vmid) is int and VMID_LOWEST <= vmid <= VMID_HIGHEST


def uses_more_than_there_is(used: float | None, total: float | None) -> bool:
    """True where both are known and contradict each other."""
    return used is not None and total is not None and used > total


def agent_time_of(timestamp: object) -> datetime | None:
    """Read the agent's clock; None where it is no plausible Unix time. It is never trusted."""
    if not isinstance(timestamp, int | float) or isinstance(timestamp, bool):
        return None
    if not EARLIEST <= timestamp <= LATEST:
        return None
    return datetime.fromtimestamp(timestamp, UTC)


def uuid_of(report: Report) -> str | None:
    """The SMBIOS UUID as lower-case text; None where the firmware has none."""
    uuid = report.smbios_uuid
    return None if uuid is None or uuid in NO_UUID else str(uuid)


def whole(value: float | None) -> int | None:
    """Round to the whole unit that is stored."""
    return None if value is None else round(value)
