"""Verified TLS for `requests`, and the knowledge whether a connection ever came about.

The certificate and the host's name are always checked; there is no switch. Must not know anything
of Proxmox's API. Only `proxmoxer_wire` uses this.
"""

# ruff: noqa: ANN401 - what requests and urllib3 hand through has no types worth naming

import math
import ssl
import threading
import time
from typing import Any

from requests.adapters import HTTPAdapter
from requests.utils import DEFAULT_CA_BUNDLE_PATH
from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection


class TooLate(Exception):
    """The connection came about after the moment from which nothing may be sent any more."""


class Progress(threading.local):
    """How far the current request of this thread has come."""

    tried_to_connect: bool = False
    connected: bool = False
    not_after: float = math.inf

    def start(self, not_after: float = math.inf) -> None:
        """Forget the request before; nothing leaves from `not_after` (monotonic) on."""
        self.tried_to_connect = False
        self.connected = False
        self.not_after = not_after

    def check(self) -> None:
        """Raise TooLate where it is."""
        if time.monotonic() >= self.not_after:
            raise TooLate


progress = Progress()


def trusting(ca_pem: str | None) -> ssl.SSLContext:
    """Make a context that trusts this CA bundle alone, or the public CAs where there is none."""
    if ca_pem is None:
        context = ssl.create_default_context(cafile=DEFAULT_CA_BUNDLE_PATH)
    else:
        context = ssl.create_default_context(cadata=ca_pem)
    # Python 3.13 began to demand key identifiers that certificates made by older Proxmox
    # versions lack. Chain, dates and name are verified all the same.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


class _Connection(HTTPSConnection):
    """Notes when the handshake is over, since only then a request can have left."""

    def connect(self) -> None:
        progress.tried_to_connect = True
        progress.check()
        super().connect()
        progress.check()
        progress.connected = True


class _Pool(HTTPSConnectionPool):
    ConnectionCls = _Connection


class VerifyingAdapter(HTTPAdapter):
    """Every connection goes through one SSL context, whatever `verify` says."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Called by HTTPAdapter's constructor."""
        super().init_poolmanager(*args, ssl_context=self._context, **options)
        self._use_our_pool(self.poolmanager)

    def proxy_manager_for(self, proxy: Any, **options: Any) -> Any:
        """Make the manager of a proxy that is configured."""
        manager = super().proxy_manager_for(proxy, ssl_context=self._context, **options)
        self._use_our_pool(manager)
        return manager

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the trust to the context: requests would add the public CAs to it."""

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Keep the context in the pool's key, and certificates required."""
        host, _ = super().build_connection_pool_key_attributes(request, verify, cert)
        return host, {"ssl_context": self._context, "cert_reqs": "CERT_REQUIRED"}

    @staticmethod
    def _use_our_pool(manager: Any) -> None:
        manager.pool_classes_by_scheme = {"https": _Pool}
