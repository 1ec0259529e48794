"""The session cookie, and what proves that a request with it comes from our own page.

A browser sends cookies with requests that other sites make it send. SameSite=Strict keeps them
from that; beside it, whatever changes something must carry a header that only a page of ours can
know, and must not come from another origin.
"""

import hashlib
import hmac
from datetime import datetime
from ipaddress import ip_address

from starlette.requests import Request
from starlette.responses import Response

HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PLAIN_NAME, HOST_NAME = "defib_session", "__Host-defib_session"
"""Browsers take a name that begins with __Host- only over HTTPS, for this host alone."""


def session_of(request: Request) -> str | None:
    """Read the session's secret, where the browser sent one."""
    return request.cookies.get(_name(request))


def csrf_token_of(secret: str) -> str:
    """Derive what the page has to send back; it cannot be turned back into the cookie."""
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()


def wrong_origin(request: Request, secret: str) -> str | None:
    """Say why a request that changes something is not from our page; None where it is."""
    if request.method in SAFE_METHODS:
        return None
    origin = request.headers.get("origin")
    if origin is not None and origin.split("://", 1)[-1] != request.headers.get("host"):
        return f"the request comes from another site ({origin[:100]})"
    sent = request.headers.get(HEADER, "")
    if not hmac.compare_digest(sent.encode(), csrf_token_of(secret).encode()):
        return f"the header {HEADER} is missing or wrong; /api/me tells it"
    return None


def keep(request: Request, response: Response, secret: str, ends: datetime) -> None:
    """Have the browser keep the session: out of reach of scripts, and never sent by other sites."""
    response.set_cookie(
        _name(request),
        secret,
        expires=ends,
        path="/",
        secure=not _is_loopback(request),
        httponly=True,
        samesite="strict",
    )


def drop(request: Request, response: Response) -> None:
    """Have the browser forget it."""
    secure = not _is_loopback(request)
    response.delete_cookie(
        _name(request), path="/", secure=secure, httponly=True, samesite="strict"
    )


def _name(request: Request) -> str:
    return PLAIN_NAME if _is_loopback(request) else HOST_NAME


def _is_loopback(request: Request) -> bool:
    host = request.url.hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
