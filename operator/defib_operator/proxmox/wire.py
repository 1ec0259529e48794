"""One question to one endpoint: what every way of reaching the Proxmox API has to offer.

The client's rules (failover, outcomes) stand above this; the real way is `proxmoxer_wire`, and a
simulation may put a model in its place. Nothing here decides anything.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import Protocol

Parameters = Mapping[str, str | int]


class Lane(StrEnum):
    """Who asks. Each has threads of its own, so that none waits behind the others' slow reads."""

    SWEEP = "sweep"
    """The fleet's inventories, and looks at whoever may have to be reset."""
    RESET = "reset"
    """The last look before a POST."""
    TASK = "task"
    """What became of one."""


class WireError(Exception):
    """The question was not answered with data."""


class WireRefusal(WireError):
    """An HTTP answer of 400 or above."""

    def __init__(
        self, *, status: int, words: str, fields: Mapping[str, str], is_proxmox: bool
    ) -> None:
        super().__init__(f"{status} {words}".strip())
        self.status = status
        self.words = words
        """Proxmox's own words: the reason phrase."""
        self.fields = fields
        """For a 400: what is wrong with which parameter."""
        self.is_proxmox = is_proxmox
        """The body is one of Proxmox's API, not a page of something in between."""


class WireFailure(WireError):
    """No HTTP answer."""

    def __init__(self, text: str, *, was_sent: bool) -> None:
        super().__init__(text)
        self.was_sent = was_sent
        """False: no connection came about, so the endpoint has surely not read the question."""


class WireGarbage(WireError):
    """A success that carries no data of the Proxmox API, or a redirection."""


class Wire(Protocol):
    """Ask one endpoint. Paths have no leading slash; the answer is the `data` of the body."""

    async def get(
        self, endpoint: str, path: str, parameters: Parameters, lane: Lane = Lane.SWEEP
    ) -> object:
        """Read; raises WireError. May be repeated by anybody."""
        ...

    async def probe(self, endpoint: str, path: str, lane: Lane = Lane.SWEEP) -> object:
        """Ask by a POST that changes nothing, with a reader's patience; raises WireError."""
        ...

    def place(self) -> AbstractAsyncContextManager[object]:
        """Wait for one of the few places of those who send; with it a POST leaves at once."""
        ...

    async def post(self, endpoint: str, path: str, not_after: float) -> object:
        """Send once, over a connection of its own, never again; raises WireError.

        Not at all once the monotonic clock shows `not_after`, however late a connection comes
        about: a process that was stopped finds what it was about to send overtaken.
        """
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...
