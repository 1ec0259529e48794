"""The simulated API behind the real client, without HTTP: for a virtual clock.

Tells the client what a network would: no connection, no answer, a broken one. The client's own
rules (failover, outcomes) run unchanged above it.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime

from defib_dev.proxmox_sim.api import handle
from defib_dev.proxmox_sim.call import PREFIX, Answer, Fate, Request
from defib_dev.proxmox_sim.model import Datacenter
from defib_operator.proxmox.wire import Lane, Parameters, WireFailure, WireGarbage, WireRefusal

ERRORS_FROM = 400


class InProcessWire:
    """A `Wire` that ends in the model. One endpoint is as good as another."""

    def __init__(
        self, dc: Datacenter, *, token_id: str, secret: str, clock: Callable[[], datetime]
    ) -> None:
        self._dc = dc
        self._authorization = f"PVEAPIToken={token_id}={secret}"
        self._clock = clock

    async def get(
        self,
        endpoint: str,  # noqa: ARG002 - the protocol's
        path: str,
        parameters: Parameters,
        lane: Lane = Lane.SWEEP,  # noqa: ARG002 - same
    ) -> object:
        """Read; see `Wire`."""
        params = {name: str(value) for name, value in parameters.items()}
        return self._ask("GET", path, params)

    def place(self) -> AbstractAsyncContextManager[object]:
        """There is always a place."""
        return nullcontext()

    async def post(self, endpoint: str, path: str, not_after: float) -> object:  # noqa: ARG002 - the protocol's
        """Send once; see `Wire`."""
        if asyncio.get_running_loop().time() >= not_after:
            raise WireFailure("it was too late to send it", was_sent=False)
        return self._ask("POST", path, {})

    async def probe(self, endpoint: str, path: str, lane: Lane = Lane.SWEEP) -> object:  # noqa: ARG002 - the protocol's
        """Ask by a POST; see `Wire`."""
        return self._ask("POST", path, {})

    async def close(self) -> None:
        """Nothing is held."""

    def _ask(self, method: str, path: str, params: Mapping[str, str]) -> object:
        request = Request(
            method=method,
            path=PREFIX + path,
            params=params,
            authorization=self._authorization,
        )
        return _data(handle(self._dc, request, self._clock()))


def _data(answer: Answer) -> object:
    match answer.fate:
        case Fate.NO_CONNECTION:
            raise WireFailure("Connection refused", was_sent=False)
        case Fate.HANG:
            raise WireFailure("no answer in time", was_sent=True)
        case Fate.DROP:
            raise WireFailure("Remote end closed connection without response", was_sent=True)
        case Fate.ANSWER:
            pass
    body = answer.body if isinstance(answer.body, Mapping) else {}
    if answer.status >= ERRORS_FROM:
        errors = body.get("errors")
        raise WireRefusal(
            status=answer.status,
            words=answer.reason,
            fields=errors if isinstance(errors, dict) else {},
            is_proxmox="data" in body,
        )
    if "data" not in body:
        raise WireGarbage("the endpoint answered 200 with what is no answer of Proxmox's API")
    return body["data"]
