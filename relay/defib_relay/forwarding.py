"""Sends what is kept to the API, the newest first, and proves that this relay is there.

The newest first: after an outage what says how the VMs are must not wait for the history. A proof
goes out once a second, with reports or without, and only while the disk takes what is written.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import httpx
import msgspec
import structlog

from defib_relay import kept
from defib_relay.gathering import Gathering
from defib_relay.kept import NotABatch, Report
from defib_relay.proven import Proven
from defib_relay.refusals import Refusals
from defib_relay.spool import Spool

log = structlog.get_logger(__name__)

PATH = "/api/health/reports"
PROVE_SECONDS = 1.0
PAUSE_FIRST, PAUSE_MOST = 0.5, 5.0
WAIT_SECONDS = 30.0
POLL_SECONDS = 0.05
OK, UNAUTHORIZED = 200, 401
NEVER = frozenset({400, 413})
"""The API will not take this batch however often it comes; what is well in it, it may."""
LOGGED = 5
EVERY_SO_OFTEN = 4
"""Each so many batches one under keys not proven yet goes first, or they would never be."""


class _Rejected(msgspec.Struct):
    index: int
    status: int
    message: str


class _Taken(msgspec.Struct):
    accepted: int
    rejected: list[_Rejected]


@dataclass(frozen=True, slots=True)
class Away:
    """Since when the API takes nothing, and why."""

    since: datetime
    why: str


class ApiAway(Exception):
    """The API takes nothing now; the text says why."""


class Forwarding:
    """`run` sends for ever."""

    def __init__(
        self,
        spool: Spool,
        gathering: Gathering,
        refusals: Refusals,
        proven: Proven,
        client: httpx.AsyncClient,
    ) -> None:
        self._spool = spool
        self._gathering = gathering
        self._refusals = refusals
        self._proven = proven
        self._client = client
        self._turns = 0
        self._proved_at = float("-inf")
        self._version = version("defib")
        self.away: Away | None = Away(datetime.now(UTC), "not asked yet")
        self.forwarded = 0

    async def run(self) -> None:
        """Send and prove; while the API is away, wait longer and longer, up to five seconds."""
        pause = PAUSE_FIRST
        while True:
            try:
                await self.once()
            except ApiAway as error:
                self._note(str(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, PAUSE_MOST)
            else:
                pause = PAUSE_FIRST

    async def once(self) -> None:
        """Send the newest batch; where none waits, prove when it is time; raise ApiAway."""
        self._turns += 1
        turn = self._spool.newest(unproven_first=self._turns % EVERY_SO_OFTEN == 0)
        if turn is not None:
            await self._send_batch(turn)
        elif self._proof_is_due():
            await self._send([])
        else:
            await asyncio.sleep(POLL_SECONDS)

    async def _send_batch(self, turn: int) -> None:
        payload = await asyncio.to_thread(self._spool.read, turn)
        if payload is None:
            return
        try:
            reports = kept.aged(payload, kept.now())
        except NotABatch as error:
            lost = await asyncio.to_thread(self._spool.lose, turn)
            log.error("relay.batch_damaged", error=str(error), lost=lost)  # noqa: TRY400 - the text says it
            return
        refused = await self._send_in_parts(reports)
        await asyncio.to_thread(self._spool.remove, turn)
        self.forwarded += len(reports) - refused
        if refused:
            await asyncio.to_thread(self._spool.count_lost, refused)

    async def _send_in_parts(self, reports: Sequence[Report]) -> int:
        """Send a batch, halved where it is refused as a whole; return how many never arrive.

        One guest's report that makes a batch unreadable or too long takes no other's with it.
        """
        if await self._send(reports):
            return 0
        if len(reports) <= 1:
            return len(reports)
        half = len(reports) // 2
        return await self._send_in_parts(reports[:half]) + await self._send_in_parts(reports[half:])

    async def _send(self, reports: Sequence[Report]) -> bool:
        """Send a batch; False where the API will never take it. Raises ApiAway."""
        body: dict[str, object] = {"reports": reports}
        if await self._may_prove():
            body["relay"] = {
                "waiting": self._spool.waiting,
                "lost": self._spool.lost,
                "version": self._version,
            }
        began = asyncio.get_running_loop().time()
        try:
            answer = await self._client.post(PATH, content=msgspec.json.encode(body))
        except httpx.HTTPError as error:
            raise ApiAway(f"{type(error).__name__}: {error}") from error
        if answer.status_code == OK:
            self._proved_at = began
            self._note(None)
            await self._learn(reports, answer.content)
            return True
        why = f"{answer.status_code}: {answer.text[:200]}"
        if answer.status_code in NEVER:
            log.error("relay.batch_refused", answer=why, reports=len(reports))
            return False
        raise ApiAway(why)

    async def _learn(self, reports: Sequence[Report], content: bytes) -> None:
        """Remember whose keys the API knows, and whose it does not: those agents are told."""
        try:
            taken = msgspec.json.decode(content, type=_Taken)
        except msgspec.DecodeError:
            log.warning("relay.answer_unreadable", answer=content[:200])
            return
        for one in taken.rejected[:LOGGED]:
            log.warning("relay.report_rejected", status=one.status, why=one.message)
        digests = [str(one.get("keyDigest")) for one in reports]
        unknown = {
            digests[one.index]: one.message
            for one in taken.rejected
            if one.status == UNAUTHORIZED and one.index < len(digests)
        }
        for digest, why in unknown.items():
            self._refusals.remember(digest, why)
        await asyncio.to_thread(self._proven.learn, set(digests) - unknown.keys(), unknown.keys())

    async def _may_prove(self) -> bool:
        """True while the disk takes what is written to it, asked anew for a proof that is due."""
        if self._proof_is_due() or self._gathering.disk_error is not None:
            return await self._gathering.prove()
        return True

    def _proof_is_due(self) -> bool:
        return asyncio.get_running_loop().time() - self._proved_at >= PROVE_SECONDS

    def _note(self, why: str | None) -> None:
        if why is None and self.away is not None:
            log.info("relay.api_there", waiting=self._spool.waiting)
            self.away = None
        elif why is not None:
            if self.away is None:
                log.warning("relay.api_away", why=why, waiting=self._spool.waiting)
            since = datetime.now(UTC) if self.away is None else self.away.since
            self.away = Away(since, why)
