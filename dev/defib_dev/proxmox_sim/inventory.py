"""A cluster described in YAML: `{nodes: [...], guests: [...]}`.

A guest is `{vmid, name, node, bootSeconds, ...}`, or `{prefix, count, vmid, node}` for many:
`{prefix: db-, count: 10, vmid: 200}` is db-0 to db-9 with the ids 200 to 209.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import yaml

from defib_dev.proxmox_sim.changes import NEW_GUEST, create_guest, number, read_all, text
from defib_dev.proxmox_sim.model import Datacenter, ModelError, Timing

DEFAULT_NODES = ("pve1", "pve2", "pve3")


def load_inventory(path: Path | None, now: datetime, *, timing: Timing | None = None) -> Datacenter:
    """Read a file; three empty nodes where there is none. Raises ModelError."""
    if path is None:
        return Datacenter(DEFAULT_NODES, timing=timing)
    try:
        data = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error
    try:
        return build_datacenter(data, now, timing=timing)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def build_datacenter(data: object, now: datetime, *, timing: Timing | None = None) -> Datacenter:
    """Build what a parsed file describes. Raises ModelError."""
    inventory = read_all({"nodes": _names, "guests": _objects}, _object(data))
    dc = Datacenter(inventory.get("nodes", DEFAULT_NODES), timing=timing)
    for described in inventory.get("guests", []):
        for guest in _each(described):
            create_guest(dc, guest, now)
    return dc


def _each(described: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    if "prefix" not in described:
        yield described
        return
    readers = {key: read for key, read in NEW_GUEST.items() if key not in {"name", "uuid"}}
    given = read_all({"prefix": text, "count": number, **readers}, described)
    if "count" not in given or "vmid" not in given:
        raise ModelError(f"{given['prefix']}: prefix needs count and vmid beside it")
    rest = {key: value for key, value in described.items() if key not in {"prefix", "count"}}
    for n in range(given["count"]):
        yield {**rest, "name": f"{given['prefix']}{n}", "vmid": given["vmid"] + n}


def _object(data: object) -> Mapping[str, object]:
    if not isinstance(data, dict):
        raise ModelError(f"expected keys and values, got {data!r:.80}")
    return data


def _objects(data: object) -> list[Mapping[str, object]]:
    if not isinstance(data, list):
        raise TypeError("must be a list")
    return [_object(one) for one in data]


def _names(data: object) -> list[str]:
    if not isinstance(data, list):
        raise TypeError("must be a list of names")
    return [text(one) for one in data]
