"""What may be changed about a guest from outside, by the names of the control interface. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from defib_dev.proxmox_sim.guest import Guest, Kind
from defib_dev.proxmox_sim.machine import MachineError, Power
from defib_dev.proxmox_sim.model import (
    SMBIOS_NAMESPACE,
    Datacenter,
    ModelError,
    NewGuest,
)
from defib_dev.proxmox_sim.qemu_guest import QemuMachine, QemuSettings

LOCKS = frozenset(
    {
        "backup",
        "clone",
        "create",
        "migrate",
        "rollback",
        "snapshot",
        "snapshot-delete",
        "suspending",
        "suspended",
    }
)
CONFIDENTIAL = frozenset({"amd-sev", "intel-tdx"})
EXISTS = "exists"
Body = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Change:
    """How to read a value, and what to do with it."""

    read: Callable[[object], Any]
    apply: Callable[[Datacenter, Guest, Any, datetime], None]


def change_guest(dc: Datacenter, vmid: int, body: Body, now: datetime) -> None:
    """Change a guest: all of it, or nothing where a key or value is wrong (ModelError)."""
    dc.advance(now)
    wanted = read_all({name: change.read for name, change in CHANGES.items()}, body)
    if wanted.get(EXISTS) is True:
        dc.restore(vmid, now)
    guest = dc.guest(vmid)
    _refuse_impossible(dc, guest, wanted)
    for name, value in wanted.items():
        CHANGES[name].apply(dc, guest, value, now)
    guest.note_status(now)
    if wanted.get(EXISTS) is False:
        dc.remove(vmid, now)


def create_guest(dc: Datacenter, body: Body, now: datetime) -> Guest:
    """Create a guest. Raises ModelError."""
    given = read_all(NEW_GUEST, body)
    if "vmid" not in given or "name" not in given:
        raise ModelError("a guest needs vmid and name")
    qemu = given.pop("qemu", None)
    if qemu is not None:
        if "uuid" not in given:
            raise ModelError("a guest on a real QEMU needs its uuid")
        given["machine"] = QemuMachine(qemu, given["uuid"])
    try:
        return dc.add_guest(NewGuest(**{FIELDS.get(key, key): given[key] for key in given}), now)
    except (MachineError, OSError) as error:
        raise ModelError(f"QEMU cannot be started: {error}") from error


def read_all(readers: Mapping[str, Callable[[object], Any]], body: Body) -> dict[str, Any]:
    """Read a body's values. Raises ModelError naming the key, and the allowed ones if unknown."""
    unknown = sorted(set(body) - set(readers))
    if unknown:
        raise ModelError(f"unknown: {', '.join(unknown)}; allowed: {', '.join(sorted(readers))}")
    found = {}
    for name, value in body.items():
        try:
            found[name] = readers[name](value)
        except (TypeError, ValueError) as error:
            raise ModelError(f"{name}: {error}") from error
    return found


def truth(value: object) -> bool:
    """Read true, false, 0 or 1."""
    if value not in (True, False):
        raise ValueError(f"must be true or false, not {value!r}")
    return bool(value)


def text(value: object) -> str:
    """Read a text that is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError(f"must be a text, not {value!r}")
    return value


def number(value: object) -> int:
    """Read a whole number of zero or more."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"must be a whole number, not {value!r}")
    return value


def seconds(value: object) -> timedelta:
    """Read seconds, zero or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"must be a number of seconds, not {value!r}")
    return timedelta(seconds=value)


def maybe(read: Callable[[object], Any]) -> Callable[[object], Any]:
    """Let null through."""
    return lambda value: None if value is None else read(value)


def word(words: type[StrEnum]) -> Callable[[object], Any]:
    """Read one of an enumeration's words."""

    def read(value: object) -> StrEnum:
        try:
            return words(str(value))
        except ValueError:
            raise ValueError(f"must be one of {', '.join(words)}, not {value!r}") from None

    return read


def among(words: frozenset[str]) -> Callable[[object], Any]:
    """Read one of these words."""

    def read(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be one of {', '.join(sorted(words))}, not {value!r}")
        return str(value)

    return read


def uuid(value: object) -> str:
    """Read a UUID."""
    return str(UUID(text(value)))


def qemu(value: object) -> QemuSettings:
    """Read how to start a real QEMU: `{kernel, initrd, folder, apiPort, memoryMiB?}`."""
    if not isinstance(value, dict):
        raise TypeError("must be an object")
    given = read_all({name: read for name, (_, read) in QEMU.items()}, value)
    try:
        return QemuSettings(**{QEMU[name][0]: found for name, found in given.items()})
    except TypeError:
        raise ValueError("needs kernel, initrd, folder and apiPort") from None


def path(value: object) -> Path:
    """Read the path of something that is there."""
    found = Path(text(value))
    if not found.exists():
        raise ValueError(f"there is no {found}")
    return found


def _to_guest(name: str) -> Callable[[Datacenter, Guest, Any, datetime], None]:
    def apply(_: Datacenter, guest: Guest, value: Any, __: datetime) -> None:  # noqa: ANN401
        setattr(guest, name, value)
        guest.obey_config()

    return apply


def _to_machine(name: str) -> Callable[[Datacenter, Guest, Any, datetime], None]:
    def apply(_: Datacenter, guest: Guest, value: Any, now: datetime) -> None:  # noqa: ANN401
        guest.simulated.settle(now)
        setattr(guest.simulated, name, value)

    return apply


def _freeze(_: Datacenter, guest: Guest, frozen: bool, now: datetime) -> None:
    guest.simulated.set_frozen(frozen=frozen, now=now)


def _hang_qmp(_: Datacenter, guest: Guest, hung: bool, __: datetime) -> None:
    guest.simulated.qmp_answers = not hung


def _refuse_impossible(dc: Datacenter, guest: Guest, wanted: Mapping[str, Any]) -> None:
    """Refuse what no single key is wrong about, before anything is changed."""
    target = dc.node(wanted.get("node", guest.node))
    runs = wanted.get("power", Power.STOPPED) is not Power.STOPPED
    if not target.online and (runs or "node" in wanted):
        raise ModelError(f"node {target.name} is offline; nothing can run there or move there")


def _power(dc: Datacenter, guest: Guest, power: Power, now: datetime) -> None:
    dc.set_power(guest, power, now)


def _move(__: Datacenter, guest: Guest, node: str, _: datetime) -> None:
    """Move it live; its tasks stay where they were."""
    guest.node = node


def _reuse(_: Datacenter, guest: Guest, name: str, now: datetime) -> None:
    """Put another VM in its place: new name, new UUID, up, and without an agent of ours."""
    guest.name = name
    guest.uuid = str(uuid5(SMBIOS_NAMESPACE, f"{guest.vmid}/{name}"))
    guest.simulated.set_frozen(frozen=False, now=now)
    guest.simulated.has_agent = False


def _hold_flock(_: Datacenter, guest: Guest, held: timedelta, now: datetime) -> None:
    guest.flock_free_at = now + held


def _later(_: Datacenter, __: Guest, ___: bool, ____: datetime) -> None:
    """`exists` is seen to before and after the others."""


CHANGES: Mapping[str, Change] = {
    "frozen": Change(truth, _freeze),
    "agentDead": Change(truth, _to_machine("agent_dead")),
    "bootSeconds": Change(maybe(seconds), _to_machine("boots")),
    "diesAfterSeconds": Change(maybe(seconds), _to_machine("dies_after")),
    "storageFull": Change(truth, _to_machine("storage_full")),
    "qmpHung": Change(truth, _hang_qmp),
    "power": Change(word(Power), _power),
    "lock": Change(maybe(among(LOCKS)), _to_guest("lock")),
    "template": Change(truth, _to_guest("template")),
    "reboot": Change(truth, _to_guest("reboot")),
    "confidential": Change(maybe(among(CONFIDENTIAL)), _to_guest("confidential")),
    "args": Change(maybe(text), _to_guest("args")),
    "ha": Change(maybe(text), _to_guest("ha")),
    "agent": Change(truth, _to_guest("agent")),
    "rename": Change(text, _to_guest("name")),
    "node": Change(text, _move),
    "reusedBy": Change(text, _reuse),
    "flockSeconds": Change(seconds, _hold_flock),
    EXISTS: Change(truth, _later),
}
NEW_GUEST: Mapping[str, Callable[[object], Any]] = {
    "vmid": number,
    "name": text,
    "node": text,
    "uuid": uuid,
    "kind": word(Kind),
    "bootSeconds": maybe(seconds),
    "diesAfterSeconds": maybe(seconds),
    "power": word(Power),
    "template": truth,
    "qemu": qemu,
}
QEMU: Mapping[str, tuple[str, Callable[[object], Any]]] = {
    "kernel": ("kernel", path),
    "initrd": ("initrd", path),
    "folder": ("folder", path),
    "apiPort": ("api_port", number),
    "memoryMiB": ("memory_mib", number),
}
FIELDS = {"bootSeconds": "boots", "diesAfterSeconds": "dies_after"}
