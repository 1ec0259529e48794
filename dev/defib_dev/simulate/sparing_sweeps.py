"""The sweep, spared where it would find just what the last one found.

A sweep that changed nothing is the measure. The next ones are left out for as long as no row that
matters has changed, nothing has fallen due since, everybody who reported goes on, and Proxmox says
the same of each VM that is looked at. The looks themselves are made, as traffic is told from one to
the next.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.domain.observation import GuestFacts
from defib_core.store.sweep import Candidate
from defib_dev.simulate.stillness import Stillness
from defib_operator.looks import Finding, Wanted
from defib_operator.sweep import CHECKED_AT_ONCE, Ears, Eyes, Lead, Sweep, Swept

SLACK = timedelta(seconds=1)
"""Proxmox tells an uptime in whole seconds, and not every limit includes its own moment."""
NOTHING = Swept(changed=0, intents=(), holds=0, seconds=0.0)


class RememberingEyes:
    """Looks once at each VM in a moment; knows what it was asked last. Implements `Eyes`."""

    def __init__(self, eyes: Eyes) -> None:
        self._eyes = eyes
        self._at: datetime | None = None
        self._seen: dict[int, Finding] = {}
        self.wanted: Sequence[Wanted] = ()
        self.findings: Mapping[int, Finding] = {}

    async def look(self, wanted: Sequence[Wanted], now: datetime) -> Mapping[int, Finding]:
        """Say what was seen of each VM."""
        self.wanted = wanted
        if self._at != now:
            self._at, self._seen = now, {}
        new = [one for one in wanted if one.vm_id not in self._seen]
        self._seen |= await self._eyes.look(new, now)
        self.findings = {one.vm_id: self._seen[one.vm_id] for one in wanted}
        return self.findings

    def forget_all_but(self, vm_ids: frozenset[int]) -> None:
        """Stop watching VMs that are no longer suspects."""
        self._eyes.forget_all_but(vm_ids)


@dataclass(frozen=True, slots=True)
class _Measure:
    """A sweep that changed nothing."""

    at: datetime
    epoch: int
    stirs: int
    stirred_at: float
    steady: frozenset[int]
    wanted: Sequence[Wanted]
    findings: Mapping[int, Finding]
    due: Sequence[datetime]


class SparingSweep(Sweep):
    """Sweeps where something may have changed."""

    def __init__(
        self, engine: AsyncEngine, lead: Lead, eyes: Eyes, ears: Ears, stillness: Stillness
    ) -> None:
        self._remembering = RememberingEyes(eyes)
        super().__init__(engine, lead, self._remembering, ears)
        self._stillness = stillness
        self._measure: _Measure | None = None
        self._takes_turns = False

    async def tick(self) -> Swept:
        """Sweep, or leave it. Raises NotLeading where another replica leads."""
        epoch = self._lead.epoch
        if self._measure is not None and await self._is_as_then(self._measure, epoch):
            return NOTHING
        self._measure = None
        if not self._stillness.is_still:
            return await super().tick()
        stirs, now = self._stillness.stirs(), self._stillness.now
        swept = await super().tick()
        if self._stillness.stirs() == stirs and not self._takes_turns:
            self._measure = self._measured(now, epoch, stirs)
        return swept

    def _measured(self, now: datetime, epoch: int, stirs: int) -> _Measure:
        still, seen = self._stillness, self._remembering
        steady = still.steady()
        started = [
            one.started_at
            for one in seen.findings.values()
            if isinstance(one, GuestFacts) and one.started_at is not None
        ]
        return _Measure(
            at=now,
            epoch=epoch,
            stirs=stirs,
            stirred_at=still.stirred_at,
            steady=steady,
            wanted=seen.wanted,
            findings=_timeless(seen.findings),
            due=still.due(steady, started),
        )

    async def _is_as_then(self, then: _Measure, epoch: int) -> bool:
        still, now = self._stillness, self._stillness.now
        if epoch != then.epoch or not still.is_still or still.stirred_at != then.stirred_at:
            return False
        if still.stirs() != then.stirs:
            return False
        if not then.steady <= still.steady():
            return False
        if any(then.at - SLACK <= moment <= now + SLACK for moment in then.due):
            return False
        findings = await self._remembering.look(then.wanted, now)
        return _timeless(findings) == then.findings

    def _in_turn(self, braked: Sequence[Candidate]) -> Sequence[Candidate]:
        self._takes_turns = len(braked) > CHECKED_AT_ONCE
        return super()._in_turn(braked)


def _timeless(findings: Mapping[int, Finding]) -> Mapping[int, Finding]:
    """Leave out what is told by the clock."""
    return {
        vm_id: replace(one, started_at=None) if isinstance(one, GuestFacts) else one
        for vm_id, one in findings.items()
    }
