"""Reads an ID token: signed by the provider, for us, for this attempt, and now. Pure.

It may not fetch anything: keys and the time are arguments.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""Signatures with a key pair. `none` is out, and so is HS256: its key could be a public one."""
LEEWAY = timedelta(seconds=60)
OLDEST = timedelta(minutes=10)
SUBJECT_MOST = 255

Claims = Mapping[str, Any]


class TokenRefused(Exception):
    """The token is not what it must be; the text is for the log."""


class SignatureRefused(TokenRefused):
    """No key that is known made this signature. The provider may have new ones."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the token must say."""

    issuer: str
    client_id: str
    nonce: str


def read_id_token(text: str, keys: KeySet, expected: Expected, now: datetime) -> Claims:
    """Return the claims; raises TokenRefused, SignatureRefused."""
    try:
        claims = jwt.decode(text, keys, algorithms=ALGORITHMS).claims
    except (JoseError, ValueError, TypeError) as error:
        raise SignatureRefused(f"{type(error).__name__}: {error}") from error
    for wrong in (_of_whom(claims, expected), _when(claims, now)):
        if wrong is not None:
            raise TokenRefused(wrong)
    return claims


def _of_whom(claims: Claims, expected: Expected) -> str | None:
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    subject, nonce = claims.get("sub"), claims.get("nonce")
    if claims.get("iss") != expected.issuer:
        return "it is from another issuer"
    if not isinstance(audiences, list) or expected.client_id not in audiences:
        return "it is for another audience"
    azp = claims.get("azp", expected.client_id if len(audiences) == 1 else None)
    if azp != expected.client_id:
        return "it was given to another client"
    if not isinstance(nonce, str) or not hmac.compare_digest(
        nonce.encode(), expected.nonce.encode()
    ):
        return "it belongs to another attempt"
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_MOST:
        return "it says not whom it is about"
    return None


def _when(claims: Claims, now: datetime) -> str | None:
    ends, made, begins = claims.get("exp"), claims.get("iat"), claims.get("nbf", 0)
    if not all(isinstance(one, int | float) for one in (ends, made, begins)):
        return "it says not when it was made and ends"
    at, leeway = now.timestamp(), LEEWAY.total_seconds()
    if at > float(ends or 0) + leeway:
        return "it has expired"
    if max(float(made or 0), float(begins)) > at + leeway:
        return "it is of the future; compare the clocks of the provider and of the database"
    if at - float(made or 0) > OLDEST.total_seconds():
        return "it was made long before it came"
    return None
