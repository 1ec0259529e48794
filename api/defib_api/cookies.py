"""The session cookie, and what proves that a request with it comes from our own page.

A browser sends cookies with requests that other sites make it send. SameSite=Strict keeps them
from that; beside it, whatever changes something must carry a header that only a page of ours can
know, and must not come from another origin.
"""

import hashlib
import hmac
from datetime import datetime
from ipaddress import ip_address
from typing import Literal, TypedDict
from urllib.parse import SplitResult, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from defib_api.oidc.attempt import LIFE_SECONDS, Attempt, packed, unpacked

HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SESSION, ATTEMPT = "defib_session", "defib_sign_in"
FOR_THIS_HOST = "__Host-"
"""Browsers take a name that begins so only over HTTPS, for this host alone."""


def session_of(request: Request) -> str | None:
    """Read the session's secret, where the browser sent one."""
    return request.cookies.get(_name(request, SESSION))


def csrf_token_of(secret: str) -> str:
    """Derive what the page has to send back; it cannot be turned back into the cookie.

    Behind a trusted proxy there is no cookie of ours, and it is made of the name: then what keeps
    other sites out is that no browser sends this header for them.
    """
    return hmac.new(secret.encode(), b"csrf", hashlib.sha256).hexdigest()


def wrong_origin(request: Request, secret: str) -> str | None:
    """Say why a request that changes something is not from our page; None where it is."""
    if request.method in SAFE_METHODS:
        return None
    origin = request.headers.get("origin")
    if origin is not None and not _is_ours(request, origin):
        return f"the request comes from another site ({origin[:100]})"
    sent = request.headers.get(HEADER, "")
    if not hmac.compare_digest(sent.encode(), csrf_token_of(secret).encode()):
        return f"the header {HEADER} is missing or wrong; /api/me tells it"
    return None


def keep(request: Request, response: Response, secret: str, ends: datetime) -> None:
    """Have the browser keep the session: out of reach of scripts, and never sent by other sites."""
    response.set_cookie(
        _name(request, SESSION),
        secret,
        expires=ends,
        **_guard(request, "strict"),
    )


def drop(request: Request, response: Response) -> None:
    """Have the browser forget it."""
    response.delete_cookie(_name(request, SESSION), **_guard(request, "strict"))


def keep_attempt(request: Request, response: Response, attempt: Attempt) -> None:
    """Have the browser keep an attempt to sign in; it comes back from the provider's site: Lax."""
    response.set_cookie(
        _name(request, ATTEMPT),
        packed(attempt),
        max_age=LIFE_SECONDS,
        **_guard(request, "lax"),
    )


def attempt_of(request: Request) -> Attempt | None:
    """Read the attempt that this browser has begun."""
    text = request.cookies.get(_name(request, ATTEMPT))
    return None if text is None else unpacked(text)


def drop_attempt(request: Request, response: Response) -> None:
    """Have the browser forget it: each is good for one answer."""
    response.delete_cookie(_name(request, ATTEMPT), **_guard(request, "lax"))


class _Guard(TypedDict):
    """What keeps a cookie to itself."""

    path: str
    secure: bool
    httponly: bool
    samesite: Literal["lax", "strict"]


def _guard(request: Request, same_site: Literal["lax", "strict"]) -> _Guard:
    """Say how a cookie is kept from scripts and other sites; it is deleted the same way."""
    return {
        "path": "/",
        "secure": _is_secure(request),
        "httponly": True,
        "samesite": same_site,
    }


def _is_ours(request: Request, origin: str) -> bool:
    """Whether a page of this server asks: under the address asked, or the one that is set."""
    public = _public_url(request)
    if public is not None and origin == f"{public.scheme}://{public.netloc}":
        return True
    scheme, _, host = origin.partition("://")
    if public is not None and host == public.netloc:
        return scheme == public.scheme
    return host == request.headers.get("host")


def _name(request: Request, plain: str) -> str:
    return FOR_THIS_HOST + plain if _is_secure(request) else plain


def _is_secure(request: Request) -> bool:
    """Whether cookies may go over HTTPS only: all but on loopback, and there too where it is set.

    A proxy may ask us as 127.0.0.1; the address that is set says how browsers ask.
    """
    public = _public_url(request)
    return not _is_loopback(request) or (public is not None and public.scheme == "https")


def _public_url(request: Request) -> SplitResult | None:
    url = request.app.state.services.settings.public_url
    return None if url is None else urlsplit(url)


def _is_loopback(request: Request) -> bool:
    host = request.url.hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
