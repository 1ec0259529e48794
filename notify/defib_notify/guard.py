"""Keeps messages from going where they must not: inward, to addresses that only we can reach.

Held at the moment of connecting, by an audit hook of the interpreter: whatever library connects,
however it came by the address (redirections, a name that answers differently a second time), the
connection is refused before a byte is sent. It holds for connections made from Python; libpq's
are C's own, and go to the database that the settings name.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]
Refusals = list[str]
"""What was refused, for libraries that keep the reason to themselves."""

NAT64 = IPv6Network("64:ff9b::/96")
GLOBAL_UNICAST = IPv6Network("2000::/3")
"""Of IPv6 the rest is given to nobody, or to purposes inside of a network (fec0::, ::a.b.c.d)."""


class AddressRefused(OSError):
    """A connection to an address that nobody allowed; the text names it."""


_guarding: ContextVar[tuple[Networks, Refusals] | None] = ContextVar("guarding", default=None)
"""What may be connected to beside public addresses; None: this is not about a message."""


@contextmanager
def guarded(allowed: Networks, refusals: Refusals | None = None) -> Iterator[None]:
    """Refuse connections inward while the block lasts, in this task and its threads."""
    _install()
    token = _guarding.set((allowed, [] if refusals is None else refusals))
    try:
        yield
    finally:
        _guarding.reset(token)


def is_allowed(address: Address, allowed: Networks) -> bool:
    """Say whether a message may go there."""
    seen = _inner(address)
    if any(seen in network or address in network for network in allowed):
        return True
    if isinstance(seen, IPv6Address) and seen not in GLOBAL_UNICAST:
        return False
    return seen.is_global and not seen.is_multicast


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


@cache
def _install() -> None:
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event != "socket.connect":
        return
    guarding = _guarding.get()
    if guarding is None:
        return
    allowed, refusals = guarding
    why = _refusal(arguments[1], allowed)
    if why is not None:
        refusals.append(why)
        raise AddressRefused(why)


def _refusal(target: object, allowed: Networks) -> str | None:
    host = str(target[0]) if isinstance(target, tuple) else ""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return f"{target!r} is no address on a network"
    if is_allowed(address, allowed):
        return None
    return f"{address} is not public, and in none of allowedNetworks; nothing was sent there"
