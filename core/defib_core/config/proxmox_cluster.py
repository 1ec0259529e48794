"""The spec of ProxmoxCluster: where a Proxmox cluster's API is, and how to speak to it.

Names the Secret that holds the token and never holds the token itself.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from defib_core.config.base import SpecModel
from defib_core.config.names import ObjectName

KIND = "ProxmoxCluster"

ENDPOINT = re.compile(
    r"^https://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)"
    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?/?$"
)
CERTIFICATE = re.compile(r"^\s*-----BEGIN CERTIFICATE-----")

ENDPOINT_WANTED = (
    "an endpoint must be https://HOST or https://HOST:PORT and nothing more, such as"
    " https://pve1.example.com:8006: no user, path or query"
)
USER_IN_ENDPOINT = (
    "an endpoint must not carry a user or password: remove what stands before the @, and put an"
    " API token into the Secret that tokenSecretRef names. If the password was real, change it"
)
ENDPOINT_TWICE = "each endpoint may be named once"
CERTIFICATE_WANTED = (
    "caBundle must hold certificates as PEM text, beginning with -----BEGIN CERTIFICATE-----"
    " (on a Proxmox node: /etc/pve/pve-root-ca.pem)"
)
NO_PRIVATE_KEY = (
    "caBundle holds a private key: put only the certificate here. Whoever may read this manifest"
    " can read the key, so replace it"
)


def _is_endpoint(url: str) -> str:
    if "@" not in url and not ENDPOINT.fullmatch(url):
        raise PydanticCustomError("rule", ENDPOINT_WANTED)
    return url


def _are_endpoints(urls: tuple[str, ...]) -> tuple[str, ...]:
    if any("@" in url for url in urls):
        raise PydanticCustomError("rule", USER_IN_ENDPOINT)
    if len(set(urls)) < len(urls):
        raise PydanticCustomError("rule", ENDPOINT_TWICE)
    return urls


def _is_certificates_only(text: str) -> str:
    if "PRIVATE KEY-----" in text:
        raise PydanticCustomError("rule", NO_PRIVATE_KEY)
    if not CERTIFICATE.search(text):
        raise PydanticCustomError("rule", CERTIFICATE_WANTED)
    return text


EndpointUrl = Annotated[str, Field(max_length=280), AfterValidator(_is_endpoint)]
SecretKey = Annotated[str, Field(min_length=1, max_length=253)]


class TokenSecretRef(SpecModel):
    """`spec.tokenSecretRef`: the Secret with the API token, in the same namespace."""

    name: ObjectName
    token_id_key: SecretKey = "tokenId"  # noqa: S105 - the name of a key, not a token
    token_secret_key: SecretKey = "tokenSecret"  # noqa: S105 - same


class Timeouts(SpecModel):
    """`spec.timeouts`: how long one call to Proxmox may take, in seconds."""

    connect_seconds: int = Field(default=5, ge=1, le=60)
    read_seconds: int = Field(default=10, ge=1, le=120)
    post_seconds: int = Field(default=35, ge=1, le=120)


class ProxmoxClusterSpec(SpecModel):
    """`spec` of a ProxmoxCluster."""

    endpoints: Annotated[
        tuple[EndpointUrl, ...],
        Field(min_length=1, max_length=16, json_schema_extra={"uniqueItems": True}),
        AfterValidator(_are_endpoints),
    ]
    ca_bundle: (
        Annotated[str, Field(max_length=65536), AfterValidator(_is_certificates_only)] | None
    ) = None
    token_secret_ref: TokenSecretRef
    timeouts: Timeouts = Timeouts()


def parse_proxmox_cluster(spec: Mapping[str, Any]) -> ProxmoxClusterSpec:
    """Read `spec` of a ProxmoxCluster object; raises InvalidSpec."""
    return ProxmoxClusterSpec.parse(spec, KIND)
