"""One operator process of a scenario: production's loops, on the scenario's clock.

Left out are kopf and what writes to Kubernetes: nothing is decided there.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.config.settings import OperatorSettings
from defib_core.store.clusters import Cluster
from defib_dev.proxmox_sim.inprocess import InProcessWire
from defib_dev.simulate.blocking import Gate, blocking_engine
from defib_dev.simulate.guests import TOKEN_ID, TOKEN_SECRET, Guests
from defib_dev.simulate.kubernetes import ENDPOINT, NAMESPACE, KubernetesApi
from defib_dev.simulate.sessions import Sessions
from defib_dev.simulate.sparing import (
    MAKES_WORK,
    SparingClusterWatch,
    SparingLeadership,
    SparingPipeline,
)
from defib_dev.simulate.sparing_sweeps import SparingSweep
from defib_dev.simulate.stillness import Stillness
from defib_operator.kube import Kubernetes
from defib_operator.looks import Looker
from defib_operator.main import LOOK_BUDGET
from defib_operator.proxmox import ProxmoxClient, ProxmoxSettings
from defib_operator.proxmox.wire import WireFailure
from defib_operator.supervisor import Loop, supervise
from defib_operator.sweeping import Sweeping
from defib_operator.watching import LISTEN_EVERY, Hearing

LEASE = timedelta(seconds=float(OperatorSettings.model_fields["lease_seconds"].default))


class ProcessDied(BaseException):
    """The operator's process ends at this very point; nothing of it may go on."""


@dataclass(slots=True)
class Armed:
    """At which step of the next reset the process dies; None: it does not."""

    step: str | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every operator process of a scenario stands in."""

    sessions: Sessions
    gate: Callable[[Callable[[str], None]], Gate]
    """Makes a gate to the database that tells of each statement."""
    guests: Guests
    kubernetes: KubernetesApi
    armed: Armed
    stillness: Stillness
    before_death: Callable[[], None]
    """Called while everything that the process wrote can still be made up for."""
    has_one_operator: Callable[[], bool]
    posted: Callable[[str], None]
    """Told the path of every POST, as it is sent."""


class Replica:
    """A process. Its memory begins empty."""

    def __init__(self, identity: str, around: Surroundings) -> None:
        self.identity = identity
        self._around = around
        self._gate = around.gate(self._saw)
        self._engine: AsyncEngine = blocking_engine(around.sessions, self._gate)
        self.leadership = SparingLeadership(self._engine, identity, LEASE)
        self.leadership.may_spare = lambda: self._gate.is_usable and around.has_one_operator()
        self.leadership.database_now = lambda: around.guests.timeline.database_now
        self._hearing = Hearing()
        clusters = SparingClusterWatch(
            self._engine,
            _OneClient(_client(around, self._gate)),
            cast("Kubernetes", around.kubernetes),
            self.leadership,
            Looker(LOOK_BUDGET),
        )
        clusters.stillness = around.stillness
        sweep = SparingSweep(
            self._engine, self.leadership, clusters, self._hearing, around.stillness
        )
        self.configs_changed = asyncio.Event()
        self._sweeping = Sweeping(self._engine, sweep, NAMESPACE, self.configs_changed)
        self._pipeline = SparingPipeline(
            self._engine,
            self.leadership,
            eyes=clusters,
            ears=self._hearing,
            client_of=clusters.client_of,
            checkpoint=self._checkpoint,
        )
        self._pipeline.leads = lambda: self.leadership.leads
        self._clusters = clusters
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._gate.is_open

    @property
    def leads(self) -> bool:
        """Whether it leads."""
        return self.is_alive and self.leadership.leads

    def start(self) -> None:
        """Start every loop."""
        loops = [
            Loop("lease", self.leadership.keep),
            Loop("listen", self._listen),
            Loop("sweep", self._sweeping.run),
            Loop("pipeline", self._pipeline.run),
            Loop("clusters", self._clusters.run),
        ]
        self._task = asyncio.create_task(supervise(loops, self._stop), name=self.identity)

    def die(self) -> None:
        """End at once: nothing it has begun reaches the database or Proxmox any more."""
        self._around.before_death()
        self._gate.is_open = False
        if self._task is not None:
            self._task.cancel()

    async def end(self) -> None:
        """End in order, as on SIGTERM."""
        self._stop.set()
        if self._task is not None:
            await self._task
        if self._gate.is_up():
            await self.leadership.release()
        self._gate.is_open = False

    async def close(self) -> None:
        """End, and wait for it."""
        self.die()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen(self) -> None:
        while True:
            if self._around.kubernetes.is_up:
                self._hearing.note()
            await asyncio.sleep(LISTEN_EVERY.total_seconds())

    async def _checkpoint(self, step: str) -> None:
        if self._around.armed.step == step:
            self._around.armed.step = None
            self.die()
            raise ProcessDied(step)

    def _saw(self, statement: str) -> None:
        if MAKES_WORK in statement:
            self._pipeline.may_have_work = True

    def wake(self) -> None:
        """Somebody else wrote an intent down."""
        self._pipeline.may_have_work = True


@dataclass(frozen=True, slots=True)
class _OneClient:
    """The one cluster there is. Implements `Clients`."""

    one: ProxmoxClient

    async def client(self, _: Cluster) -> ProxmoxClient:
        """Give the client."""
        return self.one


def _client(around: Surroundings, gate: Gate) -> ProxmoxClient:
    settings = ProxmoxSettings(endpoints=(ENDPOINT,), token_id=TOKEN_ID, token_secret=TOKEN_SECRET)
    guests = around.guests
    wire = _PatientWire(
        guests.dc, token_id=TOKEN_ID, secret=TOKEN_SECRET, clock=lambda: guests.timeline.now
    )
    wire.attach(settings, around.posted, gate)
    return ProxmoxClient(settings, wire)


class _PatientWire(InProcessWire):
    """The way to Proxmox, on which no answer takes as long as production waits for one."""

    def attach(self, settings: ProxmoxSettings, posted: Callable[[str], None], gate: Gate) -> None:
        """Say how long to wait, and who wants to know of POSTs."""
        self._patience = settings.post_timeout.total_seconds()
        self._posted = posted
        self._gate = gate

    async def post(self, endpoint: str, path: str, not_after: float) -> object:
        """Send once; see `Wire`."""
        if not self._gate.is_open:
            raise ProcessDied("a dead process sends nothing")
        self._posted(path)
        try:
            return await super().post(endpoint, path, not_after)
        except WireFailure as error:
            if error.was_sent:
                await asyncio.sleep(self._patience)
            raise
