"""Settings of how people sign in beside tokens: through an OpenID provider, or a trusted proxy."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator

from defib_core.domain.roles import RoleMapping

HEADER_NAME = r"^[A-Za-z][A-Za-z0-9-]{0,63}$"
CLAIM_NAME = r"^[^\s]{1,200}$"


class SignInSettings(BaseModel):
    """What the API knows of people who have no token. Nothing of it is on by itself."""

    oidc_issuer: str | None = Field(default=None, pattern=r"^https?://[^\s?#]{1,500}$")
    """The OpenID provider, exactly as it names itself, such as `https://id.example.com/realms/x`."""
    oidc_client_id: str | None = Field(default=None, min_length=1, max_length=500)
    oidc_client_secret: SecretStr | None = None
    """None for a public client; PKCE protects the code either way. A file of it is read anew at
    each sign-in."""
    oidc_label: str = Field(default="Sign in with your organisation", min_length=1, max_length=80)
    """What the button says."""
    oidc_scopes: str = Field(default="openid profile email", pattern=r"^openid( [^\s]+)*$")
    oidc_role_claim: str = Field(default="groups", pattern=CLAIM_NAME)
    """The claim that says in which groups somebody is; `a.b` looks inside `a`."""
    oidc_name_claim: str = Field(default="preferred_username", pattern=CLAIM_NAME)
    """The claim that is written into histories; `sub` where it is missing."""
    oidc_ca_file: Path | None = None
    """The certificate authority of the provider, as PEM, where the system does not know it."""
    proxy_user_header: str | None = Field(default=None, pattern=HEADER_NAME)
    """The header in which a trusted proxy says who asks."""
    proxy_groups_header: str | None = Field(default=None, pattern=HEADER_NAME)
    """The header in which it says his groups."""
    proxy_groups_separator: str = Field(default=",", pattern=r"^[,;|]$")
    """What stands between them; no group's name can have it in it."""
    proxy_cidrs: str | None = None
    """Networks of the proxies that are trusted, with commas between; nobody else's header is."""
    roles: str | None = None
    """Which groups have which role: `administrator=defib-admins; operator=on-call; viewer=*`."""

    @property
    def role_mapping(self) -> RoleMapping:
        """The roles of groups, read."""
        return RoleMapping.read(self.roles or "")

    @property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The trusted networks, read."""
        named = (self.proxy_cidrs or "").split(",")
        return tuple(ip_network(one.strip()) for one in named if one.strip())

    @field_validator("roles")
    @classmethod
    def _is_mapping(cls, value: str | None) -> str | None:
        RoleMapping.read(value or "")
        return value

    @field_validator("proxy_cidrs")
    @classmethod
    def _are_networks(cls, value: str | None) -> str | None:
        for one in (value or "").split(","):
            if one.strip() and ip_network(one.strip()).prefixlen == 0:
                raise ValueError(f"{one.strip()} is everybody; name the proxy's own network")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _is_safe(cls, value: str | None) -> str | None:
        if value is not None and value.startswith("http://") and not _is_loopback(value):
            raise ValueError("must begin with https://, as whoever is on the way could sign in")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.oidc_issuer is not None:
            _ask_for("DEFIB_OIDC_ISSUER", DEFIB_OIDC_CLIENT_ID=self.oidc_client_id)
            # The address that a request names must never decide to where a code is sent.
            _ask_for("DEFIB_OIDC_ISSUER", DEFIB_PUBLIC_URL=getattr(self, "public_url", None))
            _ask_for("DEFIB_OIDC_ISSUER", DEFIB_ROLES=self.roles)
        if self.proxy_user_header is not None:
            _ask_for("DEFIB_PROXY_USER_HEADER", DEFIB_PROXY_CIDRS=self.proxy_cidrs)
            _ask_for("DEFIB_PROXY_USER_HEADER", DEFIB_ROLES=self.roles)
        return self


def _ask_for(because_of: str, **needed: object) -> None:
    for variable, value in needed.items():
        if not value:
            raise ValueError(f"{variable} must be set where {because_of} is")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
