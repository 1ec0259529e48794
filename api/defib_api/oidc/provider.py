"""The OpenID provider: found by its own description, asked who came with a code.

The only module that knows Authlib's client. What the provider says is not believed before
id_token.py has read it, and a redirect is never followed.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx2
import msgspec
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from defib_api.oidc.attempt import Attempt
from defib_api.oidc.bounded import BoundedTransport
from defib_api.oidc.id_token import Claims, Expected, SignatureRefused, TokenRefused, read_id_token
from defib_core.config.settings import ApiSettings

CALLBACK = "/api/oidc/callback"
DESCRIPTION = "/.well-known/openid-configuration"
WAIT_SECONDS = 5.0
WHOLE_SECONDS = 15.0
"""For all that is asked of it at a time: an answer may come byte by byte."""
KEPT_SECONDS = 3600.0
"""Description and keys are read anew this often; keys also when one is not known."""


class ProviderFails(Exception):
    """The provider cannot be reached, or answers what makes no sense; the text is for the log."""


class CodeRefused(Exception):
    """The provider does not take this code, or not from us; the text is for the log."""


class Description(msgspec.Struct, frozen=True):
    """What a provider says of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class Provider:
    """One provider."""

    def __init__(
        self, settings: ApiSettings, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        assert settings.oidc_issuer is not None
        assert settings.oidc_client_id is not None
        assert settings.public_url is not None
        self._settings = settings
        self._issuer: str = settings.oidc_issuer
        self._client_id: str = settings.oidc_client_id
        self._callback = settings.public_url.rstrip("/") + CALLBACK
        self._monotonic = monotonic
        ca = settings.oidc_ca_file
        self._tls = ssl.create_default_context(cafile=None if ca is None else str(ca))
        self._about: tuple[float, Description] | None = None
        self._keys: tuple[float, KeySet] | None = None

    @property
    def issuer(self) -> str:
        """What it calls itself."""
        return self._issuer

    async def address_for(self, attempt: Attempt) -> str:
        """Say where the browser has to go. Raises ProviderFails."""
        async with self._client() as client:
            about = await self._described(client)
            address, _ = client.create_authorization_url(
                about.authorization_endpoint,
                state=attempt.state,
                nonce=attempt.nonce,
                code_verifier=attempt.verifier,
            )
        return str(address)

    async def claims_of(self, code: str, attempt: Attempt, now: datetime) -> Claims:
        """Exchange a code; say whom it is about. Raises all of this module, and TokenRefused."""
        async with self._client() as client:
            about = await self._described(client)
            token = await self._exchanged(client, about, code, attempt)
            expected = Expected(self._issuer, self._client_id, attempt.nonce)
            claims = await self._read(client, str(token.get("id_token")), expected, now)
            if self._settings.oidc_role_claim in claims or about.userinfo_endpoint is None:
                return claims
            more = await self._json(client, about.userinfo_endpoint, token=token)
        if more.get("sub") != claims["sub"]:
            raise TokenRefused("the provider told of somebody else when it was asked for more")
        return {**more, **claims}

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[AsyncOAuth2Client]:
        """One for each use: the secret is read anew, so that it can be changed."""
        secret = self._settings.secret_now("oidc_client_secret")
        method = "none" if secret is None else "client_secret_basic"
        if self._about and method not in self._about[1].token_endpoint_auth_methods_supported:
            method = "none" if secret is None else "client_secret_post"
        client = AsyncOAuth2Client(
            client_id=self._client_id,
            client_secret=secret,
            token_endpoint_auth_method=method,
            scope=self._settings.oidc_scopes,
            redirect_uri=self._callback,
            code_challenge_method="S256",
            transport=BoundedTransport(self._tls),
            timeout=WAIT_SECONDS,
            trust_env=False,
        )
        try:
            async with asyncio.timeout(WHOLE_SECONDS), client:
                yield client
        except TimeoutError as error:
            raise ProviderFails(f"it took longer than {WHOLE_SECONDS:.0f} s") from error

    async def _described(self, client: AsyncOAuth2Client) -> Description:
        if self._about is not None and self._is_young(self._about[0]):
            return self._about[1]
        said = await self._json(client, self._issuer.rstrip("/") + DESCRIPTION)
        try:
            about = msgspec.convert(said, Description)
        except msgspec.ValidationError as error:
            raise ProviderFails(f"its description is not whole: {error}") from error
        if about.issuer != self._issuer:
            raise ProviderFails(f"it calls itself {about.issuer[:200]!r}, not {self._issuer!r}")
        self._about = (self._monotonic(), about)
        return about

    async def _exchanged(
        self, client: AsyncOAuth2Client, about: Description, code: str, attempt: Attempt
    ) -> Mapping[str, Any]:
        try:
            token: Mapping[str, Any] = await client.fetch_token(
                about.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=attempt.verifier,
            )
        except OAuthError as error:
            raise CodeRefused(f"{error.error}: {error.description}") from error
        except (httpx2.HTTPError, ValueError) as error:
            raise ProviderFails(f"{about.token_endpoint}: {_said(error)}") from error
        return token

    async def _read(
        self, client: AsyncOAuth2Client, text: str, expected: Expected, now: datetime
    ) -> Claims:
        kept = self._keys
        if kept is not None and self._is_young(kept[0]):
            try:
                return read_id_token(text, kept[1], expected, now)
            except SignatureRefused:
                pass  # It may have new keys.
        about = await self._described(client)
        said = await self._json(client, about.jwks_uri)
        try:
            keys = KeySet.import_key_set(said)  # type: ignore[arg-type]  # checked by itself
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise ProviderFails(f"its keys cannot be read: {_said(error)}") from error
        self._keys = (self._monotonic(), keys)
        return read_id_token(text, keys, expected, now)

    async def _json(
        self,
        client: AsyncOAuth2Client,
        address: str,
        *,
        token: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        headers = {} if token is None else {"Authorization": f"Bearer {token['access_token']}"}
        try:
            answer = await client.request("GET", address, headers=headers, withhold_token=True)
            answer.raise_for_status()
            said = answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            raise ProviderFails(f"{address}: {_said(error)}") from error
        if not isinstance(said, dict):
            raise ProviderFails(f"{address}: the answer is no object")
        return said

    def _is_young(self, since: float) -> bool:
        return self._monotonic() - since < KEPT_SECONDS


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
