"""The API's own certificate: read again when its files change, so that none has to be restarted."""

import asyncio
import ssl
from pathlib import Path
from typing import Self

import structlog
from anyio import to_thread

from defib_core.config.settings import ApiSettings

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0


class Tls:
    """A TLS context whose certificate follows its files."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Read both; raises OSError and ssl.SSLError."""
        self._certificate = certificate
        self._key = key
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._read = self._stamp()
        self._load(self.context)

    @classmethod
    def of(cls, settings: ApiSettings) -> Self | None:
        """Make it, where the API speaks HTTPS itself."""
        if settings.tls_cert_file is None or settings.tls_key_file is None:
            return None
        return cls(settings.tls_cert_file, settings.tls_key_file)

    async def run(self) -> None:
        """Follow the files for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await to_thread.run_sync(self.look)

    def look(self) -> None:
        """Take a new certificate where there is one; a broken one changes nothing."""
        try:
            stamp = self._stamp()
            if stamp == self._read:
                return
            # Tried out first, as a certificate without its key would leave the context useless.
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
            self._load(self.context)
        except (OSError, ssl.SSLError) as error:
            log.warning("tls.not_reloaded", error=str(error), file=str(self._certificate))
            return
        self._read = stamp
        log.info("tls.reloaded", file=str(self._certificate))

    def _load(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self._certificate, self._key)

    def _stamp(self) -> tuple[tuple[int, int, int], ...]:
        found = [one.stat() for one in (self._certificate, self._key)]
        return tuple((one.st_mtime_ns, one.st_ino, one.st_size) for one in found)
