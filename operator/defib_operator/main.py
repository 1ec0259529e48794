"""Puts the operator together and runs it until it is told to stop. Decides nothing itself."""

import asyncio
import os
import signal
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.config.logs import configure_logging
from defib_core.config.metrics_port import serving_metrics
from defib_core.config.settings import OperatorSettings
from defib_core.store import fitness
from defib_core.store.engine import UrlNow, make_engine
from defib_core.store.failures import DATABASE_ERRORS, explain
from defib_core.tracing.spans import traced
from defib_operator.cluster_watch import ClusterWatch
from defib_operator.clusters import KubernetesClients
from defib_operator.events import Recorder
from defib_operator.figuring import Figuring
from defib_operator.fleets import Fleets
from defib_operator.housekeeping import EVERY, Housekeeping
from defib_operator.intake import Intake
from defib_operator.kube import connect
from defib_operator.leadership import Leadership
from defib_operator.looks import Looker
from defib_operator.metrics import Metrics
from defib_operator.pipeline import Pipeline
from defib_operator.probes import Probes
from defib_operator.projector import Projector
from defib_operator.registrar import Registrar
from defib_operator.seeking import Seeking
from defib_operator.supervisor import Loop, every, supervise
from defib_operator.sweep import Sweep
from defib_operator.sweeping import Sweeping
from defib_operator.watching import Hearing, Watching

log = structlog.get_logger(__name__)

LOOK_BUDGET = timedelta(seconds=8)
REGISTER_EVERY = timedelta(seconds=3)
COUNT_EVERY = timedelta(seconds=3)
SEEK_EVERY = timedelta(seconds=5)
FIT_EVERY = timedelta(seconds=1)


def run(settings: OperatorSettings) -> None:
    """Run the operator in this process until SIGTERM or SIGINT."""
    configure_logging(settings.log_level, settings.log_format)
    asyncio.run(serve(settings, asyncio.Event()))


async def serve(settings: OperatorSettings, stop: asyncio.Event) -> None:
    """Run every loop until `stop` is set or a signal asks for it, then give the lease back."""
    _stop_on_signals(stop)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(traced(settings, "operator"))
        parts = await _assemble(settings, stack)
        probes = Probes(
            parts.engine,
            parts.leadership,
            parts.sweeping.pulse,
            settings.probe_host,
            settings.probe_port,
        )
        stack.push_async_callback((await probes.start()).cleanup)
        stack.enter_context(serving_metrics(settings, parts.metrics.registry))
        log.info("operator_started", namespace=parts.namespace or "all")
        loops = _loops(parts, settings.url_now)
        parts.metrics.know_loops(loop.name for loop in loops)
        await supervise(loops, stop, parts.metrics.note_failure)
        log.info("operator_stopping")


@dataclass(frozen=True, slots=True)
class _Parts:
    engine: AsyncEngine
    namespace: str | None
    leadership: Leadership
    watching: Watching
    clusters: ClusterWatch
    sweeping: Sweeping
    pipeline: Pipeline
    projector: Projector
    registrar: Registrar
    fleets: Fleets
    housekeeping: Housekeeping
    metrics: Metrics
    figuring: Figuring
    seeking: Seeking


async def _assemble(settings: OperatorSettings, stack: AsyncExitStack) -> _Parts:
    """Build every part; what has to be closed goes on the stack."""
    engine = make_engine(settings.url_now, application="defib-operator", pool_size=10)
    stack.push_async_callback(engine.dispose)
    kubernetes = await stack.enter_async_context(connect(settings.kubeconfig))
    metrics = Metrics()
    clients = KubernetesClients(kubernetes, metrics.note_call)
    stack.push_async_callback(clients.close)
    identity = settings.identity or f"{socket.gethostname()}-{os.getpid()}"
    leadership = Leadership(engine, identity, timedelta(seconds=settings.lease_seconds))
    stack.push_async_callback(leadership.release)
    namespace = None if settings.cluster_wide else settings.namespace
    intake = Intake(engine, kubernetes)
    watching = Watching(engine, kubernetes, intake, leadership, Hearing(), namespace)
    clusters = ClusterWatch(
        engine,
        clients,
        kubernetes,
        leadership,
        Looker(LOOK_BUDGET),
        changed=intake.clusters_changed,
    )
    return _Parts(
        engine=engine,
        namespace=namespace,
        leadership=leadership,
        watching=watching,
        clusters=clusters,
        sweeping=Sweeping(
            engine,
            Sweep(engine, leadership, clusters, watching),
            settings.namespace,
            intake.configs_changed,
            note=metrics.sweeps.observe,
        ),
        pipeline=Pipeline(
            engine, leadership, eyes=clusters, ears=watching, client_of=clusters.client_of
        ),
        projector=Projector(engine, leadership, kubernetes, Recorder(kubernetes, identity)),
        registrar=Registrar(engine, watching, kubernetes),
        fleets=Fleets(engine, kubernetes, leadership),
        housekeeping=Housekeeping(engine, leadership),
        metrics=metrics,
        figuring=Figuring(engine, leadership, metrics, per_vm=settings.metrics_per_vm),
        seeking=Seeking(engine, leadership, clusters),
    )


def _loops(parts: _Parts, url_now: UrlNow) -> list[Loop]:
    return [
        Loop("lease", lambda: _lead_where_fit(url_now, parts.leadership)),
        Loop("kopf", parts.watching.watch),
        Loop("intake", parts.watching.take_in),
        Loop("listen", parts.watching.listen),
        Loop("sweep", parts.sweeping.run),
        Loop("pipeline", parts.pipeline.run),
        Loop("projector", parts.projector.run),
        Loop("clusters", parts.clusters.run),
        Loop("registrar", lambda: every(REGISTER_EVERY, parts.registrar.register)),
        Loop("fleets", lambda: every(COUNT_EVERY, parts.fleets.count)),
        Loop("figures", parts.figuring.run),
        Loop("seeking", lambda: every(SEEK_EVERY, parts.seeking.seek)),
        Loop("housekeeping", lambda: every(EVERY, parts.housekeeping.keep_house)),
    ]


async def _lead_where_fit(url_now: UrlNow, leadership: Leadership) -> None:
    """Lead once the database is seen to be fit: who works on an old schema errs in the middle."""
    said: str | None = None
    while True:
        try:
            await fitness.check(url_now, application="defib-operator")
        except (OSError, *DATABASE_ERRORS) as error:
            why = explain(error)
            if why != said:
                log.warning("database_unfit", why=why)
            said = why
        else:
            break
        await asyncio.sleep(FIT_EVERY.total_seconds())
    await leadership.keep()


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
