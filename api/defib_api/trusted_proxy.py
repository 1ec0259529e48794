"""People whom a proxy in front has identified: its headers are believed, and nobody else's."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Self

import structlog
from starlette.requests import Request

from defib_api.oidc.person import NoRole, Person, is_plain
from defib_core.config.settings import ApiSettings

log = structlog.get_logger(__name__)


class HeaderRefused(Exception):
    """The header is there, and proves nothing; the text is for whoever sent it."""


class TrustedProxy:
    """Which header says who asks, and from where it is believed."""

    def __init__(self, settings: ApiSettings) -> None:
        assert settings.proxy_user_header is not None
        self._user = settings.proxy_user_header
        self._groups = settings.proxy_groups_header
        self._between = settings.proxy_groups_separator
        self._networks = settings.proxy_networks
        self._roles = settings.role_mapping

    @classmethod
    def of(cls, settings: ApiSettings) -> Self | None:
        """Make it, where there is one."""
        return None if settings.proxy_user_header is None else cls(settings)

    def person(self, request: Request) -> Person | None:
        """Say who asks; None where no header came. Raises HeaderRefused and NoRole."""
        given = request.headers.getlist(self._user)
        if not given:
            return None
        if not self.is_trusted(request.client.host if request.client is not None else ""):
            log.warning("proxy_header.refused", header=self._user, address=_peer(request))
            raise HeaderRefused(
                f"the header {self._user} is believed from a trusted proxy only, and this request"
                " came from elsewhere"
            )
        name = _text(given[0])
        if len(given) > 1 or not is_plain(name):
            log.warning("proxy_header.unusable", header=self._user, times=len(given))
            raise HeaderRefused(f"the header {self._user} must be there once, with a plain name")
        role = self._roles.role_of(self._groups_in(request))
        if role is None:
            raise NoRole(f"{name} has no role here: none of his groups is in DEFIB_ROLES")
        return Person(name, role, name)

    def is_trusted(self, address: str) -> bool:
        """Say whether an address is one of a trusted proxy."""
        try:
            known = _plain(ip_address(address))
        except ValueError:
            return False
        return any(known in network for network in self._networks)

    def _groups_in(self, request: Request) -> list[str]:
        if self._groups is None:
            return []
        given = request.headers.getlist(self._groups)
        if len(given) > 1:
            raise HeaderRefused(f"the header {self._groups} must be there once")
        names = [one for value in given for one in _text(value).split(self._between)]
        return [one.strip() for one in names if one.strip()]


def _text(value: str) -> str:
    """Headers come as Latin-1; proxies send UTF-8."""
    try:
        return value.encode("latin-1").decode().strip()
    except UnicodeError:
        return value.strip()


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Take an IPv4 address out of its IPv6 form."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped


def _peer(request: Request) -> str:
    return request.client.host if request.client is not None else ""
