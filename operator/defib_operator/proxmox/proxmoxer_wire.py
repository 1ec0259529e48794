"""The real way to Proxmox: proxmoxer over requests, in threads of its own.

The only module that imports proxmoxer. It asks one endpoint once and says what came of it; it
knows no failover and no policy. A POST goes over a fresh connection, so that a failure before
the handshake is over is proof that Proxmox has not read it; redirections are not followed.
"""

import asyncio
import json
import math
import threading
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from http.client import responses as generic_reasons

import requests
from requests import Response
from requests.exceptions import (
    ConnectTimeout,
    ReadTimeout,
    RequestException,
    SSLError,
    TooManyRedirects,
)

from defib_operator.proxmox.settings import ProxmoxSettings, host_and_port
from defib_operator.proxmox.tls import TooLate, VerifyingAdapter, progress, trusting
from defib_operator.proxmox.wire import (
    Lane,
    Parameters,
    WireError,
    WireFailure,
    WireGarbage,
    WireRefusal,
)

with warnings.catch_warnings():
    # On import it silences urllib3's warnings for the whole process; leave them as they were.
    from proxmoxer import ProxmoxResource, ResourceException
    from proxmoxer.backends.https import Backend

READERS = {Lane.SWEEP: 8, Lane.RESET: 4, Lane.TASK: 4}
PLACES = 4
"""POSTs at a time."""
SENDERS = 16 * PLACES
"""Threads for them: one that was given up runs on for a while, and must take nobody's."""
MOST_BYTES = 64 * 1024 * 1024
"""Of one answer, unpacked; ten thousand guests are a tenth of it. Whoever writes a ProxmoxCluster
names who answers, and must not be able to fill the operator's memory."""
PART_BYTES = 64 * 1024


class _Channel:
    """One session with one endpoint. For one thread at a time."""

    def __init__(self, settings: ProxmoxSettings, endpoint: str, adapter: VerifyingAdapter) -> None:
        host, port = host_and_port(endpoint)
        backend = Backend(
            f"[{host}]" if ":" in host else host,
            port=port,
            user=settings.token_user,
            token_name=settings.token_name,
            token_value=settings.token_secret,
            verify_ssl=True,
            proxies={"https": settings.proxy_url} if settings.proxy_url else None,
        )
        self._auth = backend.auth
        self._session: requests.Session = backend.get_session()
        self._session.trust_env = False
        self._session.max_redirects = 0
        self._session.mount("https://", adapter)
        self._session.hooks["response"].append(self._remember)
        self._last: Response | None = None
        self._root = ProxmoxResource(
            base_url=backend.get_base_url(),
            session=self._session,
            serializer=backend.get_serializer(),
        )

    def get(self, path: str, parameters: Parameters, timeout: tuple[float, float]) -> object:
        return self._ask(timeout, lambda: self._root(path).get(**parameters))

    def post(self, path: str, timeout: tuple[float, float], not_after: float) -> object:
        return self._ask(timeout, lambda: self._root(path).post(), not_after)

    def close(self) -> None:
        self._session.close()

    def _remember(self, response: Response, **_: object) -> Response:
        self._last = response
        _read_bounded(response)
        return response

    def _ask(
        self,
        timeout: tuple[float, float],
        send: Callable[[], object],
        not_after: float = math.inf,
    ) -> object:
        self._auth.timeout = timeout
        self._last = None
        progress.start(not_after)
        try:
            data = send()
        except TooLate as error:
            raise WireFailure("it was too late to send it", was_sent=False) from error
        except ResourceException as error:
            raise _refusal(error, self._last) from error
        except TooManyRedirects as error:
            raise WireGarbage(
                f"{_place(self._last)} redirects; Proxmox's API never does"
            ) from error
        except RequestException as error:
            raise WireFailure(_why(error), was_sent=progress.connected) from error
        except (KeyError, TypeError, AttributeError) as error:
            raise WireGarbage(_what_came(self._last)) from error
        return self._checked(data)

    def _checked(self, data: object) -> object:
        """Refuse what proxmoxer passes on for a body that is not JSON, or for a bare 3xx."""
        is_not_json = isinstance(data, dict) and isinstance(data.get("errors"), bytes)
        if is_not_json or self._last is None or not self._last.ok or self._last.is_redirect:
            raise WireGarbage(_what_came(self._last))
        return data


class ProxmoxerWire:
    """A bounded number of threads, each with its own session to each endpoint."""

    def __init__(self, settings: ProxmoxSettings) -> None:
        self._settings = settings
        self._context = trusting(settings.ca_pem)
        self._readers = {
            lane: ThreadPoolExecutor(threads, thread_name_prefix=f"proxmox-{lane}")
            for lane, threads in READERS.items()
        }
        self._senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="proxmox-post")
        self._places = asyncio.Semaphore(PLACES)
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._open: set[_Channel] = set()
        self._is_closed = False

    async def get(
        self, endpoint: str, path: str, parameters: Parameters, lane: Lane = Lane.SWEEP
    ) -> object:
        """Read over a connection that is kept; see `Wire`."""
        return await self._in_thread(
            self._readers[lane], lambda: self._get(endpoint, path, parameters)
        )

    async def probe(self, endpoint: str, path: str, lane: Lane = Lane.SWEEP) -> object:
        """Ask by a POST; see `Wire`. Takes no thread from the power actions."""
        patience = self._patience(self._settings.read_timeout)
        return await self._in_thread(
            self._readers[lane], lambda: self._post(endpoint, path, patience, math.inf)
        )

    def place(self) -> AbstractAsyncContextManager[object]:
        """Wait for a place; see `Wire`. There are more threads than places."""
        return self._places

    async def post(self, endpoint: str, path: str, not_after: float) -> object:
        """Send once; see `Wire`. Cancelled while it is under way, its outcome is unknown."""
        patience = self._patience(self._settings.post_timeout)
        return await self._in_thread(
            self._senders, lambda: self._post(endpoint, path, patience, not_after)
        )

    async def close(self) -> None:
        """Take no more work and close idle connections; calls already made end by themselves."""
        for readers in self._readers.values():
            readers.shutdown(wait=False)
        self._senders.shutdown(wait=False)
        with self._lock:
            self._is_closed = True
            channels, self._open = self._open, set()
        for channel in channels:
            channel.close()

    async def _in_thread(self, threads: ThreadPoolExecutor, call: Callable[[], object]) -> object:
        try:
            future = asyncio.get_running_loop().run_in_executor(threads, call)
        except RuntimeError as error:  # shut down
            raise WireFailure("this client is closed", was_sent=False) from error
        return await future

    def _get(self, endpoint: str, path: str, parameters: Parameters) -> object:
        timeout = self._patience(self._settings.read_timeout)
        try:
            return self._channel(endpoint).get(path, parameters, timeout)
        except WireFailure:
            reused_a_dead_connection = not progress.tried_to_connect
            self._drop(endpoint)
            if not reused_a_dead_connection:
                raise
            return self._channel(endpoint).get(path, parameters, timeout)
        finally:
            if self._is_closed:
                self._drop(endpoint)

    def _post(
        self, endpoint: str, path: str, timeout: tuple[float, float], not_after: float
    ) -> object:
        channel = self._new_channel(endpoint)
        try:
            return channel.post(path, timeout, not_after)
        finally:
            channel.close()

    def _patience(self, to_read: timedelta) -> tuple[float, float]:
        return self._settings.connect_timeout.total_seconds(), to_read.total_seconds()

    def _new_channel(self, endpoint: str) -> _Channel:
        return _Channel(self._settings, endpoint, VerifyingAdapter(self._context))

    def _channels(self) -> dict[str, _Channel]:
        """Name this thread's own sessions."""
        channels: dict[str, _Channel] = self._mine.__dict__.setdefault("channels", {})
        return channels

    def _channel(self, endpoint: str) -> _Channel:
        channels = self._channels()
        if endpoint not in channels:
            channels[endpoint] = self._new_channel(endpoint)
            with self._lock:
                self._open.add(channels[endpoint])
        return channels[endpoint]

    def _drop(self, endpoint: str) -> None:
        channel = self._channels().pop(endpoint, None)
        if channel is not None:
            channel.close()
            with self._lock:
                self._open.discard(channel)


def _read_bounded(response: Response) -> None:
    """Read an answer in parts, and no more of it than it may have; raises WireGarbage."""
    parts: list[bytes] = []
    size = 0
    for part in response.iter_content(PART_BYTES):
        size += len(part)
        if size > MOST_BYTES:
            response.close()
            raise WireGarbage(
                f"{_place(response)} answered more than {MOST_BYTES} bytes; Proxmox's API does not"
            )
        parts.append(part)
    response._content = b"".join(parts)  # noqa: SLF001 - where requests itself keeps what it read


def _refusal(error: ResourceException, response: Response | None) -> WireError:
    body = _json(response)
    message = body.get("message") if body is not None else None
    words = str(error.content or "").strip()
    if words == generic_reasons.get(error.status_code, "") and isinstance(message, str):
        words = message.strip()  # something in between rewrote the reason phrase
    return WireRefusal(
        status=error.status_code,
        words=words or str(error.status_message or ""),
        fields=_fields(body),
        is_proxmox=body is not None and "data" in body,
    )


def _fields(body: Mapping[str, object] | None) -> Mapping[str, str]:
    errors = body.get("errors") if body is not None else None
    if not isinstance(errors, dict):
        return {}
    return {str(name): str(text).strip() for name, text in errors.items()}


def _json(response: Response | None) -> Mapping[str, object] | None:
    try:
        body = json.loads(response.content) if response is not None else None
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _place(response: Response | None) -> str:
    return "the endpoint" if response is None else str(response.url).partition("?")[0]


def _what_came(response: Response | None) -> str:
    if response is None:
        return "no readable answer came"
    kind = response.headers.get("Content-Type", "no content type")
    return (
        f"{_place(response)} answered {response.status_code} with {len(response.content)} bytes "
        f"of {kind} that are not an answer of Proxmox's API"
    )


def _why(error: RequestException) -> str:
    """Say in words why there is no answer; urllib3's own text is nested and long."""
    if isinstance(error, SSLError):
        return f"TLS failed: {_innermost(error)}"
    if isinstance(error, ConnectTimeout):
        return "connecting timed out"
    if isinstance(error, ReadTimeout):
        return "no answer in time" if progress.connected else "the TLS handshake timed out"
    return _innermost(error)


def _innermost(error: BaseException) -> str:
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            return str(error) or type(error).__name__
        error = inner
