"""How to reach one Proxmox cluster. Checked when made, so that a typo is found before a reset.

The secret stands in no text: not in the repr, not in an error.
"""

import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import urlsplit

from defib_operator.proxmox.errors import ProxmoxMisconfigured

DEFAULT_PORT = 8006


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxmoxSettings:
    """Endpoints, trust, token and patience. Raises ProxmoxMisconfigured for what cannot work."""

    endpoints: tuple[str, ...]
    """`https://host:8006`, `host:8006` or `host`; several nodes of the same cluster."""
    ca_pem: str | None = None
    """The cluster's CA (`/etc/pve/pve-root-ca.pem`) as text. None: the public CAs."""
    token_id: str
    """`user@realm!name`."""
    token_secret: str = field(repr=False)
    connect_timeout: timedelta = timedelta(seconds=5)
    read_timeout: timedelta = timedelta(seconds=10)
    """Proxmox itself gives up on a node after 30 s; a shorter limit here only says so sooner."""
    post_timeout: timedelta = timedelta(seconds=35)
    """Above Proxmox's own 30 s, so that its 596 is heard in place of our timeout."""
    proxy_url: str | None = None
    """An HTTP proxy for this cluster. The environment's proxies are never used."""

    def __post_init__(self) -> None:
        if not self.endpoints:
            raise ProxmoxMisconfigured("no endpoint is given; name at least one Proxmox node")
        for endpoint in self.endpoints:
            host_and_port(endpoint)
        user, mark, name = self.token_id.partition("!")
        if not (mark and name and "@" in user):
            raise ProxmoxMisconfigured(
                f"the token id {self.token_id!r} is not of the form user@realm!name"
            )
        if not self.token_secret.strip():
            raise ProxmoxMisconfigured("the token's secret is empty")
        if self.ca_pem is not None:
            _check_bundle(self.ca_pem)
        if min(self.connect_timeout, self.read_timeout, self.post_timeout) <= timedelta(0):
            raise ProxmoxMisconfigured("every timeout must be above zero")

    @property
    def token_user(self) -> str:
        """The token's owner, `user@realm`."""
        return self.token_id.partition("!")[0]

    @property
    def token_name(self) -> str:
        """The token's own name, without its owner."""
        return self.token_id.partition("!")[2]


def _check_bundle(ca_pem: str) -> None:
    try:
        ssl.create_default_context(cadata=ca_pem)
    except (ssl.SSLError, ValueError) as error:
        raise ProxmoxMisconfigured(
            f"the CA bundle holds no readable PEM certificate ({error}); "
            "give the text of /etc/pve/pve-root-ca.pem"
        ) from error


def host_and_port(endpoint: str) -> tuple[str, int]:
    """Split an endpoint; raise ProxmoxMisconfigured where it is not one. IPv6 without brackets."""
    has_scheme = "://" in endpoint
    try:
        parts = urlsplit(endpoint if has_scheme else f"//{endpoint}", scheme="https")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ProxmoxMisconfigured(f"the endpoint {endpoint!r} is unreadable: {error}") from error
    if parts.scheme != "https":
        raise ProxmoxMisconfigured(f"the endpoint {endpoint!r} must be https://, not plain HTTP")
    if not host or parts.path not in {"", "/"} or parts.query or parts.username is not None:
        raise ProxmoxMisconfigured(
            f"the endpoint {endpoint!r} must be host, host:port or https://host:port, nothing more"
        )
    return host, port or DEFAULT_PORT
