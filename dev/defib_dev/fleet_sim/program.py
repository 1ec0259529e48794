"""The running program: watches the guests, sends what is due, counts, and ends when told to."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field

import aiohttp
import structlog

from defib_dev.fleet_sim.fleet import Fleet, Rhythm
from defib_dev.fleet_sim.guests import SimulatedGuest
from defib_dev.fleet_sim.sender import Counters, Sender
from defib_dev.fleet_sim.watcher import Watcher

log = structlog.get_logger(__name__)

NAMED = 5
"""How many names a log line holds."""
LONGEST_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """What to run against."""

    api: str
    control: str
    key: str
    rhythm: Rhythm
    scripted_cpu: Mapping[int, float] = field(default_factory=dict)
    most_at_once: int = 64
    watch_seconds: float = 1.0
    count_seconds: float = 10.0


async def run_fleet(
    settings: FleetSettings,
    stop: asyncio.Event,
    *,
    clock: Callable[[], float] = time.time,
    counters: Counters | None = None,
) -> Counters:
    """Run until `stop` is set, counting in `counters`; returns them."""
    # A connection for each report, as real agents make it: none lives from one to the next.
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        sender = Sender(
            session, settings.api, settings.key, Counters() if counters is None else counters
        )
        program = _Program(settings, sender, clock)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(part) for part in program.parts()]
            await stop.wait()
            for task in tasks:
                task.cancel()
        program.log_counters()
    return sender.counters


class _Program:
    def __init__(self, settings: FleetSettings, sender: Sender, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._clock = clock
        self._fleet = Fleet(settings.rhythm, settings.scripted_cpu)
        self._watcher = Watcher(sender.session, settings.control, settings.watch_seconds)
        self._sender = sender
        self._queue: asyncio.Queue[int] = asyncio.Queue()
        self._under_way: set[int] = set()

    def parts(self) -> list[Coroutine[None, None, None]]:
        """What runs side by side, for ever."""
        workers = [self._send_due() for _ in range(self._settings.most_at_once)]
        return [self._watcher.watch(self._learn), self._queue_due(), self._count(), *workers]

    def log_counters(self) -> None:
        """Say how it goes."""
        fields = self._sender.counters.as_fields()
        log.info("fleet.counters", **fields, guests=len(self._fleet))

    def _learn(self, guests: list[SimulatedGuest]) -> None:
        change = self._fleet.learn(guests, self._clock())
        if change.began:
            log.info("fleet.guests_report", count=len(change.began), names=change.began[:NAMED])
        if change.silent:
            log.info("fleet.guests_silent", count=len(change.silent), names=change.silent[:NAMED])

    async def _queue_due(self) -> None:
        while True:
            for vmid in self._fleet.due(self._clock()):
                if vmid in self._under_way:
                    self._sender.counters.skipped += 1
                else:
                    self._under_way.add(vmid)
                    self._queue.put_nowait(vmid)
            await asyncio.sleep(self._pause())

    def _pause(self) -> float:
        moment = self._fleet.next_moment()
        if moment is None:
            return LONGEST_PAUSE_SECONDS
        return min(LONGEST_PAUSE_SECONDS, max(0.0, moment - self._clock()))

    async def _send_due(self) -> None:
        while True:
            vmid = await self._queue.get()
            report = self._fleet.report(vmid, self._clock())
            if report is not None:
                await self._sender.send(report)
            self._under_way.discard(vmid)

    async def _count(self) -> None:
        while True:
            await asyncio.sleep(self._settings.count_seconds)
            self.log_counters()
