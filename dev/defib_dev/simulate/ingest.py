"""The API's side of a scenario: stores heartbeats and proves itself by production's statements.

Proofs that nobody would read are left out, and made up for when somebody is about to read them.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import count

from sqlalchemy.ext.asyncio import AsyncEngine

from defib_api.ingest.prover import EVERY, Prover
from defib_core.store import controls
from defib_core.store.clock import database_now
from defib_dev.simulate.blocking import Gate, HotConnection, blocking_engine
from defib_dev.simulate.guests import REPORT_EVERY, Guests
from defib_dev.simulate.scenario import Vm
from defib_dev.simulate.sessions import Sessions
from defib_dev.simulate.virtual_time import Timeline
from defib_dev.simulate.waiting import Waiting

JUST_AFTER = 0.01
"""Reports come just after the events of the same moment."""
NOTICED_AFTER = 0.5
"""A second's half: how long, on average, until the next proof."""
REFUSED = "its key was revoked"

PROVED_SO_FAR = """
UPDATE ingest_liveness SET proved_at = greatest(proved_at, defib_now() - interval '0.5 s')
WHERE replica = %s
"""


class Ingest:
    """One API replica after another."""

    def __init__(
        self,
        sessions: Sessions,
        gate: Gate,
        guests: Guests,
        vm_ids: dict[str, int],
        *,
        may_wait: Callable[[], bool],
        stir: Callable[[], None],
        arm_after: Callable[[], int],
    ) -> None:
        self._may_wait = may_wait
        self._stir = stir
        self._arm_after = arm_after
        self._gate = gate
        self._hot = HotConnection(sessions, gate)
        self._engine: AsyncEngine = blocking_engine(sessions, gate)
        self._guests = guests
        self._timeline: Timeline = guests.timeline
        self._vm_ids = vm_ids
        self._names = (f"api-{number}" for number in count(1))
        self._replica = ""
        self._prover: Prover | None = None
        self._may_make_up = False
        self._proved_at = 0.0
        self._waiting = Waiting()
        self._silent: dict[str, Vm] = {}
        self.heard: dict[str, list[float]] = defaultdict(list)
        """When each VM's heartbeats were stored."""
        self.refused: dict[str, list[float]] = defaultdict(list)
        """When reports of each VM were refused."""

    @property
    def is_up(self) -> bool:
        """Whether any replica runs."""
        return self._prover is not None

    async def come_up(self) -> None:
        """Start a replica; its first proof writes down the gap before it."""
        if self.is_up:
            return
        self._replica = next(self._names)
        self._prover = Prover(self._replica, monotonic=lambda: self._timeline.elapsed)
        await self.prove()

    def go_down(self) -> None:
        """Lose every replica."""
        self._prover = None

    async def prove(self) -> None:
        """Prove that heartbeats are stored, as the replica does once a second."""
        if self._prover is not None and self._gate.is_usable:
            await self._prover.prove(self._hot.as_async())
            self._proved_at = self._timeline.elapsed
            self._may_make_up = True

    def make_up_proofs(self) -> None:
        """Write down the proofs that were left out until now."""
        now = self._timeline.elapsed
        may = self._prover is not None and self._may_make_up and self._gate.is_usable
        if may and now - self._proved_at > EVERY:
            self._proved_at = now
            self.run(PROVED_SO_FAR, (self._replica,))

    async def after_break(self) -> None:
        """Prove again after the clock jumped or the database was away: nothing is made up."""
        self._may_make_up = False
        await asyncio.sleep(NOTICED_AFTER)
        await self.prove()

    def run(self, statement: str, parameters: tuple[object, ...]) -> None:
        """Execute a statement of the simulation's own."""
        self._hot.run(statement, parameters)

    async def take_reports(self) -> None:
        """Take every VM's report each 30 seconds, for as long as the scenario runs."""
        phases = self._guests.phases()
        clock = asyncio.get_running_loop()
        began = clock.time() + JUST_AFTER
        for round_number in count():
            for phase, vms in phases:
                due = began + round_number * REPORT_EVERY + phase
                await asyncio.sleep(due - clock.time())
                await self._take(vms)

    async def notice_returns(self) -> None:
        """Take the first report of each guest that was silent, as soon as its agent runs again."""
        while True:
            await asyncio.sleep(EVERY)
            if self._silent:
                await self._store(self._guests.reporting(self._silent.values()))

    async def _take(self, vms: Sequence[Vm]) -> None:
        reporting = self._guests.reporting(vms)
        names = {vm.name for vm in reporting}
        self._silent |= {vm.name: vm for vm in vms if vm.name not in names}
        await self._store(reporting)

    async def _store(self, reporting: Sequence[Vm]) -> None:
        """Take reports. Those of VMs that report all the time wait until somebody looks."""
        for vm in reporting:
            self._silent.pop(vm.name, None)
        if not (reporting and self.is_up and self._gate.is_usable):
            return
        now = self._timeline.elapsed
        refused = [vm for vm in reporting if vm.name in self._guests.refused]
        if refused:
            await self._refuse(refused)
        accepted = [vm for vm in reporting if vm.name not in self._guests.refused]
        can_wait = [self._take_one(vm, now) for vm in accepted]
        if not all(can_wait):
            self._stir()
            self.store_waiting()

    def _take_one(self, vm: Vm, now: float) -> bool:
        """Take one heartbeat; return whether it can wait to be stored."""
        vm_id = self._vm_ids[vm.name]
        if self._waiting.holds(vm_id):
            self.store_waiting()
        self.heard[vm.name].append(now)
        if len(self.heard[vm.name]) <= self._arm_after():
            self._stir()
        return self._waiting.add(self._guests.heartbeat(vm, vm_id), now) and self._may_wait()

    def heard_since(self, moment: float) -> frozenset[int]:
        """Name the VMs heard at or after a moment, those in skipped time among them."""
        return self._waiting.heard_since(moment)

    def store_waiting(self) -> None:
        """Store the reports that wait."""
        self._waiting.store(self._hot, self._timeline.elapsed)

    async def _refuse(self, vms: Sequence[Vm]) -> None:
        async with self._engine.begin() as connection:
            now = await database_now(connection)
            for vm in vms:
                vm_id = self._vm_ids[vm.name]
                await controls.record_rejection(connection, vm_id, REFUSED, now)
                self.refused[vm.name].append(self._timeline.elapsed)

    def passed(self, length: float) -> None:
        """Take note that time was skipped in which everybody went on reporting."""
        self._proved_at += length
        self._waiting.passed(length)

    def close(self) -> None:
        """Let go of the connection."""
        self._hot.close()
