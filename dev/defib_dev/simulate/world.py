"""Everything there is in a scenario, put together: fleet, Proxmox, API, database, operators."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.config.system_config import SystemConfigSpec
from defib_core.store.clock import database_now
from defib_dev.simulate.blocking import Gate, blocking_engine
from defib_dev.simulate.guests import Guests
from defib_dev.simulate.ingest import Ingest
from defib_dev.simulate.kubernetes import KubernetesApi
from defib_dev.simulate.replica import Armed, Replica, Surroundings
from defib_dev.simulate.scenario import Scenario
from defib_dev.simulate.sessions import Sessions
from defib_dev.simulate.sparing import LEASE_TABLE, PROOFS_TABLE
from defib_dev.simulate.stillness import Stillness
from defib_dev.simulate.virtual_time import Timeline
from defib_dev.simulate.waiting import asks_of_heartbeats

OPERATORS_START_AT = 0.1
"""Their sweeps come just after the events and reports of the same moment."""
DELIVER_EVERY = 1.0
PATIENT_MS = 60_000
"""Under shorter stale timeouts a report may change a state at any time."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A person's wish for a reset, and the intent it became; None: it was not even written down."""

    vm: str
    at: float
    intent: int | None
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """A power POST as it is sent, and how things truly stood then."""

    at: float
    vm: str
    step: str
    node: str
    lock: str | None
    power: str | None
    """None: there is no such guest."""
    is_template: bool
    is_another: bool
    """Another VM has the id."""
    is_here: bool
    """It is on this node, and the node is there."""
    lives: bool
    """The guest works, whatever became of our agent."""
    is_stopped: bool
    """A global stop is in force."""
    is_paused: bool
    is_maintained: bool
    config: SystemConfigSpec
    """In force: the operator has heard of it."""


@dataclass(slots=True)
class World:
    """One scenario at work."""

    scenario: Scenario
    sessions: Sessions
    timeline: Timeline
    guests: Guests
    kubernetes: KubernetesApi
    database_is_up: bool = True
    vm_ids: dict[str, int] = field(default_factory=dict)
    replicas: list[Replica] = field(default_factory=list)
    armed: Armed = field(default_factory=Armed)
    posts: list[Post] = field(default_factory=list)
    configs: list[tuple[float, SystemConfigSpec]] = field(default_factory=list)
    """Each SystemConfig that was in force, and from when on."""
    is_stopped: bool = False
    """A global stop is in force."""
    asked: list[Asked] = field(default_factory=list)
    spares: bool = True
    is_watched: bool = True
    """An operator ran at the end."""
    _stillness: Stillness | None = None
    _ingest: Ingest | None = None
    _engine: AsyncEngine | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _numbers: "count[int]" = field(default_factory=lambda: count(1))

    @classmethod
    def of(cls, scenario: Scenario, sessions: Sessions, timeline: Timeline) -> "World":
        """Build it; nothing runs yet."""
        guests = Guests.of(scenario, timeline)
        kubernetes = KubernetesApi(scenario)
        world = cls(scenario, sessions, timeline, guests, kubernetes)
        world.configs.append((0.0, scenario.config))
        return world

    @property
    def ingest(self) -> Ingest:
        """The API's side."""
        assert self._ingest is not None
        return self._ingest

    @property
    def engine(self) -> AsyncEngine:
        """The database as people reach it, through the API or kubectl."""
        assert self._engine is not None
        return self._engine

    @property
    def stillness(self) -> Stillness:
        """Whether anything can have changed."""
        if self._stillness is None:
            self._stillness = Stillness(self, spares=self.spares)
        return self._stillness

    @property
    def is_undisturbed(self) -> bool:
        """Whether every part of ours is up, and nothing waits to be done."""
        ups = (self.ingest.is_up, self.database_is_up, self.kubernetes.is_up)
        return all(ups) and not self._tasks and not self.kubernetes.waiting

    async def begin(self) -> None:
        """Mirror every object, and start the API and one operator."""
        self._engine = blocking_engine(self.sessions, self._gate(_nobody))
        async with self.engine.begin() as connection:
            now = await database_now(connection)
            self.vm_ids = await self.kubernetes.mirror_all(self.scenario, connection, now)
        self._ingest = Ingest(
            self.sessions,
            self._gate(_nobody),
            self.guests,
            self.vm_ids,
            may_wait=lambda: self.kubernetes.config.stale_timeout_ms >= PATIENT_MS,
            stir=self.stillness.stir,
            arm_after=lambda: self.kubernetes.config.safety.arm_after_reports,
        )
        await self.ingest.come_up()

    async def live(self) -> None:
        """Let the VMs report and changes reach the operators, for as long as this runs."""
        await asyncio.gather(
            self.ingest.take_reports(), self.ingest.notice_returns(), self._deliver_later()
        )

    def start_replica(self) -> None:
        """Start an operator process."""
        around = Surroundings(
            sessions=self.sessions,
            gate=self._operators_gate,
            guests=self.guests,
            kubernetes=self.kubernetes,
            armed=self.armed,
            stillness=self.stillness,
            before_death=self.make_up,
            has_one_operator=lambda: len(self.living()) == 1,
            posted=self._posted,
        )
        self.stillness.stir()
        replica = Replica(f"operator-{next(self._numbers)}", around)
        self.replicas.append(replica)
        replica.start()

    def make_up(self) -> None:
        """Write down everything that was left out until somebody would look."""
        if self.database_is_up:
            self.ingest.make_up_proofs()
            self.ingest.store_waiting()
            self._make_up_renewals()

    def _make_up_renewals(self) -> None:
        for replica in self.replicas:
            if replica.is_alive:
                replica.leadership.make_up(self.ingest.run)

    def _posted(self, path: str) -> None:
        _, node, _, vmid, _, step = path.split("/")
        vm = next(vm for vm in self.scenario.fleet if vm.vmid == int(vmid))
        guest = self.guests.guest(vm)
        now = self.timeline.now
        self.posts.append(
            Post(
                at=self.timeline.elapsed,
                vm=vm.name,
                step=step,
                node=node,
                lock=None if guest is None else guest.lock,
                power=None if guest is None else guest.machine.power.value,
                is_template=guest is not None and guest.template,
                is_another=guest is not None and not guest.simulated.has_agent,
                is_here=guest is not None
                and guest.node == node
                and self.guests.dc.nodes[node].online,
                lives=guest is not None and guest.machine.guest_agent_answers(now),
                is_stopped=self.is_stopped,
                is_paused=self._is_paused(vm.name),
                is_maintained=self._is_maintained(),
                config=self.kubernetes.in_force,
            )
        )

    def _is_paused(self, name: str) -> bool:
        paused, now = self.kubernetes.paused, self.timeline.database_now
        until = paused.get(name)
        return name in paused and (until is None or until > now)

    def _is_maintained(self) -> bool:
        """Whether a window for every VM is open; there are no labels here."""
        now, windows = self.timeline.database_now, self.kubernetes.in_force.maintenance or ()
        return any(not one.match_labels and one.starts_at <= now < one.ends_at for one in windows)

    def living(self) -> list[Replica]:
        """The operators that run; the leading one first."""
        alive = [replica for replica in self.replicas if replica.is_alive]
        return sorted(alive, key=lambda replica: not replica.leads)

    async def deliver(self) -> None:
        """Let the leading operator hear of changed objects, where it can."""
        waiting = self.kubernetes.waiting and self.kubernetes.is_up and self.database_is_up
        if not waiting or not any(replica.leads for replica in self.replicas):
            return
        async with self.engine.begin() as connection:
            await self.kubernetes.deliver(connection, await database_now(connection))
        self.configs.append((self.timeline.elapsed, self.kubernetes.in_force))
        for replica in self.living():
            replica.configs_changed.set()

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done beside everything else."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def when_database_is_back(self, act: Callable[[], Awaitable[None]]) -> None:
        """Have something done as soon as the database can be reached."""

        async def wait() -> None:
            while not self.database_is_up:  # noqa: ASYNC110 - virtual time costs nothing
                await asyncio.sleep(DELIVER_EVERY)
            await act()

        self.later(wait())

    async def close(self) -> None:
        """End everything."""
        self.is_watched = bool(self.living())
        for task in self._tasks:
            task.cancel()
        for replica in self.replicas:
            await replica.close()
        if self._ingest is not None:
            self._ingest.close()

    async def _deliver_later(self) -> None:
        while True:
            await asyncio.sleep(DELIVER_EVERY)
            await self.deliver()

    def _gate(self, watch: Callable[[str], None]) -> Gate:
        gate = Gate(self.timeline, watch)
        gate.is_up = lambda: self.database_is_up
        return gate

    def _operators_gate(self, watch: Callable[[str], None]) -> Gate:
        def seen(statement: str) -> None:
            watch(statement)
            if PROOFS_TABLE in statement:
                self.ingest.make_up_proofs()
            if LEASE_TABLE in statement:
                self._make_up_renewals()
            elif asks_of_heartbeats(statement):
                self.ingest.store_waiting()

        return self._gate(seen)


def _nobody(_: str) -> None:
    """Nobody watches these statements."""
