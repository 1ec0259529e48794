"""An attempt to sign in: what the browser keeps in a cookie while the person is at the provider.

State binds the answer to this browser, the nonce binds the token to this attempt, and the verifier
makes a stolen code worthless. The cookie is for this host alone and out of reach of scripts; it is
believed no further than a cookie can be: whoever forges one has begun an attempt of his own.
"""

import base64
import binascii
import re
import secrets
from dataclasses import dataclass

import msgspec

LIFE_SECONDS = 600
LOCAL = re.compile(r"\A/(?!/)[!-\[\]-~]{0,1999}\Z")
"""A path of this server: printable, without a backslash, and never `//other.host`."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt."""

    state: str
    nonce: str
    verifier: str
    next: str
    """The path to show afterwards."""

    @classmethod
    def begin(cls, next_path: str) -> "Attempt":
        """Make one, with three secrets of its own."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, next_path)


def is_local(path: str) -> bool:
    """Say whether a path leads to a page of this server, and to nowhere else."""
    return LOCAL.match(path) is not None and not path.startswith("/api")


def packed(attempt: Attempt) -> str:
    """Write it as the value of a cookie."""
    return base64.urlsafe_b64encode(msgspec.json.encode(attempt)).decode().rstrip("=")


def unpacked(text: str) -> Attempt | None:
    """Read it back; None where it is none of ours."""
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        attempt = msgspec.json.decode(raw, type=Attempt)
    except (UnicodeError, binascii.Error, msgspec.DecodeError):
        return None
    return attempt if is_local(attempt.next) else None
