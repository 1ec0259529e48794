"""The ways to sign in, as the page asks for them before anybody has."""

from pydantic import Field

from defib_api.schemas.base import ApiModel


class OidcWay(ApiModel):
    """The button that leads to the OpenID provider."""

    label: str
    url: str = Field(description="Send the browser there, with `?next=/path` behind it.")


class SignInWays(ApiModel):
    """How one may sign in here."""

    token: bool = Field(description="POST /api/session takes a token.")
    oidc: OidcWay | None
    proxy: bool = Field(description="A trusted proxy says who asks; /api/me tells who.")
