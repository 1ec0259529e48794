"""Answers made before they are asked for: bytes, compressed once, and not sent to who has them."""

import asyncio
import gzip
import hashlib

from fastapi import Request, Response

JSON = "application/json"
REVALIDATE = "private, no-cache"
"""Kept by the browser, and asked about each time: mostly answered by 304."""
WORTH_COMPRESSING = 1024
QUICKLY = 3
"""A level of gzip: most of the gain for a fraction of the time."""


class Prepared:
    """A body with its tag. The same bytes have the same tag, whichever replica made them."""

    def __init__(self, body: bytes, *, tag: bytes | None = None) -> None:
        """`tag` is what stands for the content, where the body says more, such as a time."""
        self.body = body
        digest = hashlib.blake2b(body if tag is None else tag, digest_size=12).hexdigest()
        self.etag = f'W/"{digest}"'
        self._packing: asyncio.Task[bytes] | None = None

    async def answer(self, request: Request) -> Response:
        """Answer a request with it, in as few bytes as that allows."""
        headers = {"ETag": self.etag, "Cache-Control": REVALIDATE, "Vary": "Accept-Encoding"}
        if self._is_known_to(request):
            return Response(status_code=304, headers=headers)
        body = self.body
        if len(body) >= WORTH_COMPRESSING and takes_gzip(request):
            headers["Content-Encoding"] = "gzip"
            body = await self._packed()
        return Response(body, media_type=JSON, headers=headers)

    def _is_known_to(self, request: Request) -> bool:
        known = request.headers.get("if-none-match", "")
        bare = self.etag.removeprefix("W/")
        return any(tag.strip().removeprefix("W/") == bare for tag in known.split(","))

    async def _packed(self) -> bytes:
        """Compress once, in another thread; all who ask meanwhile wait for it."""
        if self._packing is None:
            packing = asyncio.to_thread(gzip.compress, self.body, QUICKLY, mtime=0)
            self._packing = asyncio.create_task(packing)
        return await asyncio.shield(self._packing)


def takes_gzip(request: Request) -> bool:
    """Tell whether the reader said that it takes gzip, and not with a weight of nothing."""
    for offer in request.headers.get("accept-encoding", "").split(","):
        name, _, weight = offer.strip().partition(";")
        if name.strip().lower() in {"gzip", "*"}:
            return weight.replace(" ", "").rstrip("0") not in {"q=", "q=0."}
    return False
