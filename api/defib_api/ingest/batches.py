"""`POST /api/health/reports`: many reports in one request, from relays and agents that buffered.

Fresh ones go the way of every report, together; late ones into the history only. What is wrong with
one is said of that one. Where the database is away nothing is known to be stored, and the whole is
answered so.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_api.answers import Answer, message_of
from defib_api.ingest import answers
from defib_api.ingest.backlog import BacklogFull, Outcome
from defib_api.ingest.batch import (
    Batch,
    BatchedReport,
    Unreadable,
    decode_batch,
    envelope_of,
    whole_batch,
)
from defib_api.ingest.belonging import Refused, identity_of, row_at_once
from defib_api.ingest.counts import Counts
from defib_api.ingest.flood import Flood, TooOften
from defib_api.ingest.freshness import Freshness
from defib_api.ingest.registered import Registered
from defib_api.ingest.rejections import BY_STATUS, Rejections
from defib_api.ingest.relays import Relays
from defib_api.ingest.report import Malformed
from defib_api.ingest.samples import heartbeat_of, is_without_its_clock
from defib_api.ingest.writer import FAILURES, DatabaseAway, Writer
from defib_api.keys import KeyTable
from defib_core.store import late
from defib_core.store.heartbeats import Heartbeat
from defib_core.store.registry import ReportedIdentity
from defib_core.store.relays import KnownRelay, Said
from defib_core.store.tokens import KnownToken, TokenKind

LATE_AT_ONCE = 2
LATE_SECONDS = 20.0
OK, BAD_REQUEST, UNAVAILABLE = 200, 400, 503
VALUES_REFUSED = "the report was not stored: the database refused its values; see the API's log"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a batch: an agent by its key, or a relay by its token."""

    token: KnownToken | None
    relay: KnownRelay | None


@dataclass(slots=True)
class _Sorted:
    """A batch taken apart; numbers are the reports' places in it."""

    relay_id: int | None
    fresh: list[tuple[int, Heartbeat]] = field(default_factory=list)
    tokens: dict[int, KnownToken] = field(default_factory=dict)
    """Under whose keys the fresh ones came."""
    late: list[Heartbeat] = field(default_factory=list)
    rejected: dict[int, tuple[int, str]] = field(default_factory=dict)

    def reject(self, index: int, answer: Answer) -> None:
        """Refuse one, with the words that a single report would be answered with."""
        self.rejected[index] = (answer.status, message_of(answer))


class Batches:
    """Takes batches."""

    def __init__(
        self,
        engine: AsyncEngine,
        keys: KeyTable[KnownToken],
        known: Registered,
        writer: Writer,
        *,
        rejections: Rejections,
        relays: Relays,
        flood: Flood,
        freshness: Freshness,
        counts: Counts,
        shared_keys: bool = True,
    ) -> None:
        self._engine = engine
        self._keys = keys
        self._known = known
        self._writer = writer
        self._rejections = rejections
        self._relays = relays
        self._flood = flood
        self._freshness = freshness
        self._counts = counts
        self._shared_keys = shared_keys
        self._late_places = asyncio.Semaphore(LATE_AT_ONCE)

    async def take(self, sender: Sender, body: bytes) -> Answer:
        """Store a batch and say what became of it; raises what the database raises."""
        try:
            batch = decode_batch(body)
        except Malformed as error:
            return answers.invalid(whole_batch(error))
        tokens = await self._tokens_of(batch, sender)
        found = await self._sort(batch, tokens, sender.relay)
        try:
            await self._store_fresh(batch, found)
        except (BacklogFull, *FAILURES):
            self._note_unheard(batch, found)
            raise
        await self._store_late(found)
        if sender.relay is not None and batch.relay is not None:
            said = Said(*msgspec.structs.astuple(batch.relay))
            self._counts.relay_proofs += await self._relays.prove(sender.relay, said)
        return self._answer(batch, found)

    async def _tokens_of(
        self, batch: Batch, sender: Sender
    ) -> Mapping[str | None, KnownToken | None]:
        """Whose keys the reports came under, by digest; all are asked for at once."""
        if sender.token is not None:
            return {None: sender.token}
        digests = {_digest_of(one) for one in batch.reports}
        asked = sorted(one for one in digests if one is not None)
        found = await asyncio.gather(*(self._keys.find_digest(bytes.fromhex(one)) for one in asked))
        return dict(zip(asked, found, strict=True))

    async def _sort(
        self,
        batch: Batch,
        tokens: Mapping[str | None, KnownToken | None],
        relay: KnownRelay | None,
    ) -> _Sorted:
        """Find the VM of each report, and say which way it goes. Nothing is stored yet."""
        found = _Sorted(None if relay is None else relay.id)
        new: list[tuple[int, BatchedReport, KnownToken, ReportedIdentity]] = []
        unbound: dict[int, int] = {}
        for index, report in enumerate(batch.reports):
            if isinstance(report, Unreadable):
                found.reject(index, answers.invalid(list(report.errors)))
                continue
            try:
                token = self._token_of(report, tokens, relay)
                vm_id = row_at_once(self._known, token, report)
                if vm_id is not None:
                    self._put(found, index, report, token, vm_id)
                    continue
                said = await identity_of(self._known, token, report)
            except Refused as refused:
                found.reject(index, refused.answer)
                continue
            if token.bound is not None and token.bound.vmid is None:
                unbound[index] = token.bound.token_id
            vm_id = self._known.known_id_of(said)
            if vm_id is None:
                new.append((index, report, token, said))
            else:
                self._put(found, index, report, token, vm_id)
                if index in unbound:
                    await self._known.bind(unbound[index], vm_id)
        ids = await asyncio.gather(*(self._known.register(said) for *_, said in new))
        for (index, report, token, _), vm_id in zip(new, ids, strict=True):
            self._put(found, index, report, token, vm_id)
            if index in unbound:
                await self._known.bind(unbound[index], vm_id)
        self._note_signs_of_life(batch, tokens, found)
        return found

    def _token_of(
        self,
        report: BatchedReport,
        tokens: Mapping[str | None, KnownToken | None],
        relay: KnownRelay | None,
    ) -> KnownToken:
        """Say under whose key a report came; raise Refused."""
        token = _find_token(report, tokens, relay)
        if token.bound is None and not self._shared_keys:
            raise Refused(answers.SHARED_OFF)
        return token

    def _put(
        self, found: _Sorted, index: int, report: BatchedReport, token: KnownToken, vm_id: int
    ) -> None:
        age = report.age_seconds
        is_late = self._freshness.is_late(age)
        try:
            self._flood.admit(vm_id, late=is_late)
        except TooOften as flood:
            self._counts.floods += 1
            found.reject(index, answers.flooding(flood.seconds))
            return
        heartbeat = heartbeat_of(vm_id, report, age=age, relay_id=found.relay_id)
        self._counts.timestamps_dropped += is_without_its_clock(heartbeat, report)
        if is_late:
            found.late.append(heartbeat)
        else:
            found.fresh.append((index, heartbeat))
            found.tokens[index] = token

    def _note_signs_of_life(
        self, batch: Batch, tokens: Mapping[str | None, KnownToken | None], found: _Sorted
    ) -> None:
        """Whoever sent a report just now is alive, though the report is refused."""
        for index, (status, _) in found.rejected.items():
            report = batch.reports[index]
            raw = report.raw if isinstance(report, Unreadable) else msgspec.json.encode(report)
            about = envelope_of(raw)
            if about is None or self._freshness.is_late(about.age):
                continue
            token = tokens.get(about.key_digest if None not in tokens else None)
            if token is not None and token.cluster_id is not None:
                if status in BY_STATUS:
                    self._rejections.note_refused(token, status, raw)
            elif about.key_digest is not None:
                was = self._rejections.retired_digest(about.key_digest)
                if was is not None:
                    self._rejections.note_retired(was, raw)

    def _note_unheard(self, batch: Batch, found: _Sorted) -> None:
        """Whoever's fresh report was shed is alive, though it is not known to be stored."""
        for index, token in found.tokens.items():
            raw = msgspec.json.encode(batch.reports[index])
            self._rejections.note_refused(token, UNAVAILABLE, raw)

    async def _store_fresh(self, batch: Batch, found: _Sorted) -> None:
        outcomes = await self._writer.store_together([beat for _, beat in found.fresh])
        for (index, beat), outcome in zip(found.fresh, outcomes, strict=True):
            if outcome is Outcome.MISSING:
                # Somebody removed the VM since this process learnt of it.
                report = batch.reports[index]
                assert isinstance(report, BatchedReport)
                said = await identity_of(self._known, found.tokens[index], report)
                vm_id = await self._known.register(said)
                again = msgspec.structs.replace(beat, vm_id=vm_id)
                outcome = (await self._writer.store_together([again]))[0]  # noqa: PLW2901
            match outcome:
                case Outcome.STORED:
                    pass
                case Outcome.REFUSED:
                    found.rejected[index] = (BAD_REQUEST, VALUES_REFUSED)
                case Outcome.TOO_MANY:
                    found.reject(index, answers.TOO_MANY)
                case Outcome.AWAY | Outcome.MISSING:
                    raise DatabaseAway("the batch may not have been stored")

    async def _store_late(self, found: _Sorted) -> None:
        if not found.late:
            return
        async with self._late_places, asyncio.timeout(LATE_SECONDS):
            try:
                await self._write_late(found.late)
            except IntegrityError:
                # The partition of that hour was made while the statement ran: now it is there.
                await self._write_late(found.late)
        self._counts.late += len(found.late)

    async def _write_late(self, samples: Sequence[Heartbeat]) -> None:
        async with self._engine.begin() as connection:
            await late.store_late(connection, samples)

    def _answer(self, batch: Batch, found: _Sorted) -> Answer:
        accepted = len(batch.reports) - len(found.rejected)
        self._counts.batched[OK] += accepted
        self._counts.batched.update(status for status, _ in found.rejected.values())
        if not found.rejected:
            return Answer(OK, b'{"success":true,"accepted":%d,"rejected":[]}' % accepted)
        rejected = [
            {"index": index, "status": status, "message": message}
            for index, (status, message) in sorted(found.rejected.items())
        ]
        body = {"success": True, "accepted": accepted, "rejected": rejected}
        return Answer(OK, msgspec.json.encode(body))


def _digest_of(report: BatchedReport | Unreadable) -> str | None:
    about = envelope_of(report.raw) if isinstance(report, Unreadable) else report
    return None if about is None else about.key_digest


def _find_token(
    report: BatchedReport,
    tokens: Mapping[str | None, KnownToken | None],
    relay: KnownRelay | None,
) -> KnownToken:
    if relay is None:
        token = tokens[None]
        assert token is not None
        return token
    if report.key_digest is None:
        raise Refused(answers.NO_DIGEST)
    token = tokens[report.key_digest]
    if token is None:
        raise Refused(answers.WRONG_KEY)
    if token.kind is not TokenKind.AGENT:
        raise Refused(answers.NOT_AN_AGENT_KEY)
    if token.cluster_id != relay.cluster_id:
        raise Refused(answers.OTHER_CLUSTER)
    return token
