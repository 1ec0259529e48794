"""Puts the worker together and runs it until it is told to stop."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from defib_core.config.logs import configure_logging
from defib_core.config.metrics_port import serving_metrics
from defib_core.config.settings import NotifySettings
from defib_core.store.engine import make_engine
from defib_core.store.failures import DATABASE_ERRORS, explain
from defib_core.store.fitness import check
from defib_notify.configuration import read
from defib_notify.dead_mans_switch import Switch
from defib_notify.metrics import Metrics
from defib_notify.probes import Pulse, serving_probes
from defib_notify.sending import send
from defib_notify.trust import trust_of
from defib_notify.worker import Worker

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 2.0


def run(settings: NotifySettings) -> None:
    """Run the worker in this process until SIGTERM or SIGINT."""
    configure_logging(settings.log_level, settings.log_format)
    asyncio.run(serve(settings, asyncio.Event()))


async def serve(settings: NotifySettings, stop: asyncio.Event) -> None:
    """Work until `stop` is set or a signal asks for it."""
    config, metrics, pulse = read(settings.notify_config), Metrics(), Pulse()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    url = settings.database_url.get_secret_value()
    engine = make_engine(url, application="defib-notify", pool_size=3)
    trust = trust_of(config)
    worker = Worker(engine, config, metrics, partial(send, trust=trust), turned=pulse.turned)
    works = [_keep(worker.run, url, pulse.failed)]
    if config.dead_mans_switch is not None:
        switch = Switch(
            engine, config.dead_mans_switch, config.allowed_networks, metrics, trust=trust
        )
        works.append(_keep(switch.run, url))
    log.info("notify_started", destinations=[one.name for one in config.destinations])
    tasks = [asyncio.create_task(work) for work in works]
    try:
        with serving_metrics(settings, metrics.registry), serving_probes(settings, pulse):
            await stop.wait()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await engine.dispose()


def _unnoted(_: str) -> None:
    """Note nothing."""


async def _keep(
    work: Callable[[], Awaitable[None]], url: str, note: Callable[[str], None] = _unnoted
) -> None:
    """Begin again after every failure, on a database that is fit; `note` takes why."""
    while True:
        try:
            await check(url, application="defib-notify")
            await work()
        except (*DATABASE_ERRORS, OSError) as error:
            note(explain(error))
            log.warning("notify_waits", why=explain(error))
        except Exception as error:
            note(type(error).__name__)
            log.exception("notify_failed")
        await asyncio.sleep(AGAIN_SECONDS)
