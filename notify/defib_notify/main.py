"""Puts the worker together and runs it until it is told to stop."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import structlog

from defib_core.config.logs import configure_logging
from defib_core.config.metrics_port import serving_metrics
from defib_core.config.settings import NotifySettings
from defib_core.store.engine import make_engine
from defib_core.store.failures import DATABASE_ERRORS, explain
from defib_notify.configuration import read
from defib_notify.dead_mans_switch import Switch
from defib_notify.metrics import Metrics
from defib_notify.worker import Worker

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 2.0


def run(settings: NotifySettings) -> None:
    """Run the worker in this process until SIGTERM or SIGINT."""
    configure_logging(settings.log_level, settings.log_format)
    asyncio.run(serve(settings, asyncio.Event()))


async def serve(settings: NotifySettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set or a signal asks for it."""
    config, metrics = read(settings.notify_config), Metrics()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    engine = make_engine(
        settings.database_url.get_secret_value(), application="defib-notify", pool_size=3
    )
    works: list[Callable[[], Awaitable[None]]] = [Worker(engine, config, metrics).run]
    if config.dead_mans_switch is not None:
        allowed = config.allowed_networks
        works.append(Switch(engine, config.dead_mans_switch, allowed, metrics).run)
    log.info("notify_started", destinations=[one.name for one in config.destinations])
    tasks = [asyncio.create_task(_keep(work)) for work in works]
    try:
        with serving_metrics(settings, metrics.registry):
            await stop.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.dispose()


async def _keep(work: Callable[[], Awaitable[None]]) -> None:
    """Begin again after every failure."""
    while True:
        try:
            await work()
        except (*DATABASE_ERRORS, OSError) as error:
            log.warning("notify_waits", why=explain(error))
        except Exception:
            log.exception("notify_failed")
        await asyncio.sleep(AGAIN_SECONDS)
