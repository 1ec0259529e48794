"""Gathers the reports of a moment into one batch, so that one sync of the disk serves them all."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from defib_api.ingest.batch import MOST_REPORTS
from defib_relay import kept
from defib_relay.kept import Report
from defib_relay.spool import NoRoom, Spool

log = structlog.get_logger(__name__)

LINGER_SECONDS = 0.05
MOST_BYTES = 700_000
"""Of the reports as they came; with what is added to each a batch stays under the API's 1 MiB."""
MOST_WAITING = 20_000


class DiskFails(Exception):
    """What came cannot be kept now."""


class TooMuch(Exception):
    """More comes in than the disk takes, or than is kept of keys that are not proven."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    reports: Sequence[Report]
    size: int
    proven: bool
    done: asyncio.Future[None]


class Gathering:
    """`keep` returns when a report is on disk; `run` must be running for that."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._stopping = False
        self.disk_error: str | None = None

    async def keep(self, reports: Sequence[Report], size: int, *, proven: bool = True) -> None:
        """Keep reports of so many bytes; raise DiskFails or TooMuch.

        What is not proven stands in nobody's way: it has a queue and files of its own.
        """
        queued = sum(len(one.reports) for one in self._waiting if one.proven == proven)
        if self._stopping or queued > MOST_WAITING:
            raise TooMuch
        waiting = _Waiting(reports, size, proven, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._wake.set()
        await waiting.done

    async def run(self) -> None:
        """Write what has gathered, again and again, until stopped and all is written."""
        while self._waiting or not self._stopping:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
                if not self._stopping:
                    await asyncio.sleep(LINGER_SECONDS)
                continue
            await self._write(self._take())

    def stop(self) -> None:
        """Take nothing more, and write what was taken."""
        self._stopping = True
        self._wake.set()

    async def prove(self) -> bool:
        """Show that the disk takes what is written to it."""
        try:
            await asyncio.to_thread(self._spool.prove)
        except OSError as error:
            self._note(error)
        else:
            self._note(None)
        return self.disk_error is None

    def _take(self) -> list[_Waiting]:
        """Take who has waited longest, and of those behind him the ones of his kind that fit in."""
        taken: list[_Waiting] = []
        left: list[_Waiting] = []
        count = size = 0
        for one in self._waiting:
            fits = count + len(one.reports) <= MOST_REPORTS and size + one.size <= MOST_BYTES
            if not taken or (one.proven == taken[0].proven and fits):
                taken.append(one)
                count, size = count + len(one.reports), size + one.size
            else:
                left.append(one)
        self._waiting = left
        return taken

    async def _write(self, taken: Sequence[_Waiting]) -> None:
        reports = [report for one in taken for report in one.reports]
        payload = kept.keep(reports, kept.now())
        try:
            await asyncio.to_thread(self._spool.add, payload, len(reports), proven=taken[0].proven)
        except NoRoom:
            for one in taken:
                _settle(one, TooMuch())
            return
        except OSError as error:
            self._note(error)
            for one in taken:
                _settle(one, DiskFails(str(error)))
            return
        self._note(None)
        for one in taken:
            _settle(one, None)

    def _note(self, error: OSError | None) -> None:
        why = None if error is None else error.strerror or str(error)
        if why != self.disk_error:
            log.log(*((40, "relay.disk_fails") if why else (20, "relay.disk_works")), error=why)
        self.disk_error = why


def _settle(one: _Waiting, error: Exception | None) -> None:
    if one.done.done():
        return
    if error is None:
        one.done.set_result(None)
    else:
        one.done.set_exception(error)
