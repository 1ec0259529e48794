"""The built dashboard: hashed files that never change, one page for every address, a strict policy.

The page's addresses are the browser's business, so an address that is no file is answered with the
page itself. The policy allows no inline script at all, and of inline styles only those that carry
the nonce made for this answer.
"""

import secrets
from pathlib import Path
from typing import Final

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGE = "index.html"
NONCE_PLACE = "__CSP_NONCE__"
"""What the build puts where the nonce goes."""

HASHED = "assets/"
FOREVER: Final = "public, max-age=31536000, immutable"
ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
"""Compressed at build time, the smallest first."""


def policy(nonce: str) -> str:
    """Say what the page may load, and from where: from here, and nothing from elsewhere."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            f"style-src 'self' 'nonce-{nonce}'",
            "img-src 'self'",
            "font-src 'self'",
            "connect-src 'self'",
            "manifest-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        )
    )


class Frontend(StaticFiles):
    """Serves the folder that `vite build` made."""

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder)
        self._page = folder / PAGE

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with a file, or with the page."""
        if path in {".", PAGE}:
            return await self._page_response()
        if path.split("/", maxsplit=1)[0].startswith("."):
            raise HTTPException(404)
        response = await self._file(path, scope)
        if response is None:
            if not _is_address(path, scope):
                raise HTTPException(404)
            return await self._page_response()
        forever = path.startswith(HASHED) and response.status_code < 400  # noqa: PLR2004
        response.headers["cache-control"] = FOREVER if forever else "no-cache"
        return response

    async def _file(self, path: str, scope: Scope) -> Response | None:
        """Find the file, in the smallest form that the browser takes."""
        accepted = Headers(scope=scope).get("accept-encoding", "")
        for encoding, suffix in ENCODINGS:
            if encoding not in accepted:
                continue
            packed = await self._plain(path + suffix, scope)
            if packed is not None:
                packed.headers["content-encoding"] = encoding
                packed.headers["vary"] = "accept-encoding"
                packed.headers["content-type"] = _content_type(path)
                return packed
        return await self._plain(path, scope)

    async def _plain(self, path: str, scope: Scope) -> Response | None:
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code == 404:  # noqa: PLR2004
                return None
            raise

    async def _page_response(self) -> Response:
        """Read it anew: a page kept from before an upgrade would name files that are gone."""
        nonce = secrets.token_urlsafe(16)
        page = await to_thread.run_sync(self._page.read_text)
        response = HTMLResponse(page.replace(NONCE_PLACE, nonce))
        response.headers["cache-control"] = "no-cache"
        response.headers["content-security-policy"] = policy(nonce)
        response.headers["x-frame-options"] = "DENY"
        return response


def _is_address(path: str, scope: Scope) -> bool:
    """Whether a person came by a link: not a missing file, and nothing of the API's."""
    wants_page = "text/html" in Headers(scope=scope).get("accept", "")
    return wants_page and not path.startswith(("api/", HASHED))


def _content_type(path: str) -> str:
    return CONTENT_TYPES.get(Path(path).suffix, "application/octet-stream")


CONTENT_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""Of what is worth compressing."""
