"""A request to the simulated API and its answer, as values; the order of Proxmox's checks. Pure.

Known or not (401), such a call or not (501), rights (403), the node (595), parameters (400), and
only then the call itself (500). Rights are checked before anybody looks whether the VM exists.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from defib_core.domain.actions import PowerStep
from defib_dev.proxmox_sim.access import Token
from defib_dev.proxmox_sim.faults import ApiMode, PostRecord
from defib_dev.proxmox_sim.model import Datacenter

PREFIX = "/api2/json/"
Params = Mapping[str, str]
Check = Callable[[str], str | None]
"""Says what is wrong with a parameter's value; None: nothing."""


class ApiError(Exception):
    """An answer of 400 or above, with Proxmox's reason phrase."""

    def __init__(self, status: int, reason: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.fields = fields


class Fate(Enum):
    """What becomes of the connection."""

    ANSWER = auto()
    HANG = auto()
    """No answer ever comes."""
    DROP = auto()
    """It is cut without an answer."""
    NO_CONNECTION = auto()
    """There never was one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a client asks. `path` with the prefix, parameters from query and body together."""

    method: str
    path: str
    params: Params = field(default_factory=dict)
    authorization: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the client gets. Above 399 Proxmox closes the connection."""

    status: int = 200
    reason: str = "OK"
    body: Mapping[str, object] | str | None = None
    """An object for JSON, text for a page of HTML, None for an empty body."""
    fate: Fate = Fate.ANSWER

    @property
    def is_unauthorized(self) -> bool:
        """401: Proxmox lets these wait for three seconds."""
        return self.status == 401  # noqa: PLR2004 - the number is the meaning


@dataclass(frozen=True, slots=True)
class Call:
    """A request that found its route."""

    dc: Datacenter
    caller: Token
    now: datetime
    path: Mapping[str, str]
    params: Params
    record: PostRecord | None = None

    @property
    def node(self) -> str:
        """The node in the path."""
        return self.path["node"]

    @property
    def vmid(self) -> int:
        """The VM in the path."""
        return int(self.path["vmid"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One call of the API."""

    method: str
    pattern: re.Pattern[str]
    answer: Callable[[Call], object]
    privileges: frozenset[str] = frozenset()
    """Any of these is enough, on `on`; empty: everybody who is known."""
    on: str = "/"
    params: Mapping[str, Check] = field(default_factory=dict)
    power: PowerStep | None = None


def route(
    method: str,
    template: str,
    answer: Callable[[Call], object],
    *,
    privileges: frozenset[str] = frozenset(),
    on: str = "/",
    params: Mapping[str, Check] | None = None,
    power: PowerStep | None = None,
) -> Route:
    """Make a route of a template such as `nodes/{node}/qemu/{vmid}/config`."""
    return Route(
        method=method,
        pattern=re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template)),
        answer=answer,
        privileges=privileges,
        on=on,
        params=params or {},
        power=power,
    )


def find_route(routes: tuple[Route, ...], request: Request) -> tuple[Route, Mapping[str, str]]:
    """Find the call. Raises the 501 of a call that there is not."""
    path = request.path.removeprefix(PREFIX)
    for one in routes:
        match = one.pattern.fullmatch(path)
        if match and one.method == request.method and request.path.startswith(PREFIX):
            return one, match.groupdict()
    raise ApiError(501, f"Method '{request.method} /{path}' not implemented")


def check(dc: Datacenter, one: Route, call: Call) -> None:
    """Check rights, node and parameters, in this order. Raises ApiError."""
    on = one.on.format(**call.path)
    if one.privileges and not dc.access.allows(call.caller, on, one.privileges):
        raise ApiError(403, f"Permission check failed ({on}, {'|'.join(sorted(one.privileges))})")
    if "node" in call.path:
        _check_node(dc, call.node)
    wrong = {name: text for name, text in _complaints(one, call) if text is not None}
    if wrong:
        raise ApiError(400, "Parameter verification failed.", wrong)


def _check_node(dc: Datacenter, name: str) -> None:
    node = dc.nodes.get(name)
    if node is None:
        raise ApiError(
            500,
            f"hostname lookup '{name}' failed - failed to get address info for: {name}: "
            "Name or service not known",
        )
    if not node.online:
        raise ApiError(595, "No route to host")


def _complaints(one: Route, call: Call) -> list[tuple[str, str | None]]:
    vmid = call.path.get("vmid")
    about = [("vmid", _is_vmid(vmid))] if vmid is not None else []
    for name, value in call.params.items():
        if name in one.params:
            about.append((name, one.params[name](value)))
        else:
            about.append((name, NOT_IN_SCHEMA))
    return about


NOT_IN_SCHEMA = (
    "property is not defined in schema and the schema does not allow additional properties"
)


def _is_vmid(value: str) -> str | None:
    fits = re.fullmatch(r"[1-9]\d{2,8}", value)
    return None if fits else "invalid format - value does not look like a valid VM ID"


def whole_number(value: str) -> str | None:
    """Accept a number."""
    return None if value.isdecimal() else f"type check ('integer') failed - got '{value}'"


def truth(value: str) -> str | None:
    """Accept 0, 1 and their words."""
    ok = value.lower() in {"0", "1", "yes", "no", "on", "off", "true", "false"}
    return None if ok else f"type check ('boolean') failed - got '{value}'"


def anything(value: str) -> str | None:
    """Accept any text."""
    return None if value else "value is too short"


def one_of(*words: str) -> Check:
    """Accept one of these words."""
    listed = ", ".join(words)

    def accept(value: str) -> str | None:
        if value in words:
            return None
        return f"value '{value}' does not have a value in the enumeration '{listed}'"

    return accept


def apply_mode(dc: Datacenter) -> None:
    """Let the API's mode reach what it touches."""
    dc.access.revoked_all = dc.mode is ApiMode.FORBIDDEN
