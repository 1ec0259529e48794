"""Runs kopf in a thread and an event loop of its own.

In our loop kopf would take the signals, cancel every task begun after its own start whenever it
ends (resets on their way too), and ten minutes after a failure kill the whole process. It knows
nothing of what its events mean.
"""

import asyncio
import logging
import threading
from contextlib import suppress
from datetime import timedelta

import kopf
import structlog

log = structlog.get_logger(__name__)

STOPS_WITHIN = timedelta(seconds=2)
"""How long an orderly end waits for kopf's; its thread does not keep the process alive."""
TLS_SAYS_GOODBYE = timedelta(milliseconds=250)
"""What closed connections still need of the loop; aiohttp gives no way to wait for them."""


async def run_kopf(registry: kopf.OperatorRegistry, namespace: str | None) -> None:
    """Watch until kopf ends, with its error; or stop it when this is cancelled."""
    # It warns that a thread gets no signals, each time; they are ours to take.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    # It calls every attempt an error while the API is away; that it is away is said elsewhere.
    logging.getLogger("kopf._cogs.clients").setLevel(logging.CRITICAL)
    home = asyncio.get_running_loop()
    ended: asyncio.Future[None] = home.create_future()
    stop = threading.Event()

    def run() -> None:
        error: BaseException | None = None
        try:
            asyncio.run(_operate(registry, namespace, stop))
        except BaseException as caught:  # noqa: BLE001 - raised again in the main loop
            error = caught
        with suppress(RuntimeError):  # the main loop is closed: nobody waits any more
            home.call_soon_threadsafe(_settle, ended, error)

    threading.Thread(target=run, name="kopf", daemon=True).start()
    try:
        await asyncio.shield(ended)
    finally:
        stop.set()
        await asyncio.wait([ended], timeout=STOPS_WITHIN.total_seconds())


async def _operate(
    registry: kopf.OperatorRegistry, namespace: str | None, stop: threading.Event
) -> None:
    try:
        await kopf.operator(
            registry=registry,
            standalone=True,
            clusterwide=namespace is None,
            namespaces=[] if namespace is None else [namespace],
            stop_flag=stop,
        )
    finally:
        stop.set()  # kopf waits for it in a thread, which would outlive a failure
        await asyncio.sleep(TLS_SAYS_GOODBYE.total_seconds())


def _settle(ended: asyncio.Future[None], error: BaseException | None) -> None:
    if ended.done():
        return
    if error is None or isinstance(error, asyncio.CancelledError):
        ended.set_result(None)
    else:
        ended.set_exception(error)
        ended.exception()  # nobody may be left to hear of it
