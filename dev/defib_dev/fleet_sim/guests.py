"""The guests as the Proxmox simulator's control interface tells of them. Pure.

A guest reports when the simulator says so, never because this program thinks it should.
"""

from datetime import datetime

import msgspec


class ControlSaysNonsense(Exception):
    """The control interface's answer is not a list of guests."""


class SimulatedGuest(msgspec.Struct, rename="camel", frozen=True, gc=False):
    """One guest. `boot_id` and `booted_at` are absent while it boots and for real machines."""

    vmid: int
    name: str
    node: str
    uuid: str
    reporting: bool = False
    boot_id: str | None = None
    booted_at: datetime | None = None
    cpu: float | None = None
    """Percent, where the inventory says what it shall be."""


class _State(msgspec.Struct):
    guests: list[SimulatedGuest]


_decoder = msgspec.json.Decoder(_State)


def reporting_guests(answer: bytes) -> list[SimulatedGuest]:
    """Read who reports now; a real machine has an agent of its own. Raises ControlSaysNonsense."""
    try:
        guests = _decoder.decode(answer).guests
    except msgspec.MsgspecError as error:
        raise ControlSaysNonsense(f"not a list of guests: {error}") from error
    return [one for one in guests if one.reporting and one.boot_id and one.booted_at]
