"""Reports that were refused or shed, kept as signs of life: whoever sent one is not dead.

Only what came under a key that Defib made counts, a revoked or expired one included; else anybody
could keep a dead VM from its reset. Gathered in memory, bounded, and written once a second, each VM
at most once in ten seconds: a flood of bad reports costs the database nothing.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_api.ingest.report import NO_UUID, vmid_is_sane
from defib_core.store import rejections as store
from defib_core.store.clock import database_now
from defib_core.store.failures import DATABASE_ERRORS, explain
from defib_core.store.rejections import EVERY, Rejection, Retired
from defib_core.store.tokens import KnownToken, digest

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 1.0
RETIRED_SECONDS = 3.0
MOST = 20_000
"""VMs remembered in one process; what is beyond is dropped, the oldest first."""
FORBIDDEN = 403
RETIRED_KEY = "its key was revoked or has expired"
BY_STATUS: Mapping[int, str] = {
    FORBIDDEN: "a report came under a token that is not its own (403)",
    400: "a report could not be read (400)",
    429: "it sent more than could be taken (429)",
    500: "the database refused its values (500)",
    503: "a report could not be stored (503)",
}


class _Sender(msgspec.Struct, rename="camel"):
    """As much of a report as says who sent it."""

    vmid: object = None
    smbios_uuid: object = None


_decoder = msgspec.json.Decoder(_Sender)


@dataclass(frozen=True, slots=True)
class Sender:
    """Which VM a report is from: `vmid`, `smbios_uuid` or both are set."""

    cluster_id: int
    vmid: int | None
    smbios_uuid: str | None


def sender_of(cluster_id: int, body: bytes) -> Sender | None:
    """Read who sent a report that may be wrong in everything else; None where it does not say."""
    try:
        said = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if said.vmid is not None and not vmid_is_sane(said.vmid):
        return None
    vmid = None if said.vmid is None else int(str(said.vmid))
    uuid = _uuid(said.smbios_uuid)
    return None if vmid is None and uuid is None else Sender(cluster_id, vmid, uuid)


def sign_of(token: KnownToken, status: int, body: bytes) -> Sender | None:
    """Say whose sign of life a refused report is: a token speaks of whom it may report for.

    One of a single VM speaks of that VM. What came under it from elsewhere (403) speaks of the
    machine whose SMBIOS UUID it tells, which no other guest knows; a vmid anybody can name.
    """
    assert token.cluster_id is not None
    said = sender_of(token.cluster_id, body)
    if token.bound is None:
        return said
    if status == FORBIDDEN:
        return _by_uuid(token.cluster_id, None if said is None else said.smbios_uuid)
    return _own(token.cluster_id, token.bound.vmid, token.bound.smbios_uuid, said)


def sign_of_retired(was: Retired, body: bytes) -> Sender | None:
    """Say the same of a report under a key that was revoked or has expired."""
    said = sender_of(was.cluster_id, body)
    if was.vmid is None and was.smbios_uuid is None:
        return said
    return _own(was.cluster_id, was.vmid, was.smbios_uuid, said)


def _own(cluster_id: int, vmid: int | None, uuid: str | None, said: Sender | None) -> Sender | None:
    """Name the VM of a token, known by its vmid or only by its UUID; a copy's UUID is kept."""
    if vmid is None:
        return _by_uuid(cluster_id, uuid)
    return Sender(cluster_id, vmid, None if said is None else said.smbios_uuid)


def _by_uuid(cluster_id: int, uuid: str | None) -> Sender | None:
    return None if uuid is None else Sender(cluster_id, None, uuid)


def _uuid(value: object) -> str | None:
    try:
        uuid = UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if uuid is None or uuid in NO_UUID else str(uuid)


@dataclass(frozen=True, slots=True)
class _Noted:
    reason: str
    at: float
    """By the monotonic clock."""


class Rejections:
    """Gathers signs of life; `run` must be running for them to be written."""

    def __init__(
        self, engine: AsyncEngine, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._monotonic = monotonic
        self._waiting: dict[Sender, _Noted] = {}
        self._written: dict[Sender, float] = {}
        self._retired: Mapping[bytes, Retired] = {}

    def retired(self, key: bytes) -> Retired | None:
        """Say whose a revoked or expired agent's key was; None for every other."""
        return self._retired.get(digest(key))

    def retired_digest(self, sha256: str) -> Retired | None:
        """Say the same of a key of which only the digest came, in hex, through a relay."""
        return self._retired.get(bytes.fromhex(sha256))

    def note_refused(self, token: KnownToken, status: int, body: bytes) -> None:
        """Keep that a report under this token was answered so."""
        self._keep(sign_of(token, status, body), BY_STATUS[status])

    def note_retired(self, was: Retired, body: bytes) -> None:
        """Keep that a report came under a key that is no longer good."""
        self._keep(sign_of_retired(was, body), RETIRED_KEY)

    def _keep(self, sender: Sender | None, reason: str) -> None:
        now = self._monotonic()
        if sender is None or now - self._written.get(sender, float("-inf")) < EVERY.total_seconds():
            return
        if len(self._waiting) >= MOST:
            self._waiting.pop(next(iter(self._waiting)))
        self._waiting[sender] = _Noted(reason, now)

    async def run(self) -> None:
        """Write what has gathered, for ever; while the database is away it goes on gathering."""
        learnt = float("-inf")
        while True:
            try:
                if self._monotonic() - learnt >= RETIRED_SECONDS:
                    await self._learn_retired()
                    learnt = self._monotonic()
                await self.flush()
            except (*DATABASE_ERRORS, OSError) as error:
                log.warning("rejections.not_written", error=explain(error), kept=len(self._waiting))
            await asyncio.sleep(FLUSH_SECONDS)

    async def _learn_retired(self) -> None:
        async with self._engine.connect() as connection:
            self._retired = await store.retired_agent_keys(connection)

    async def flush(self) -> None:
        """Write what has gathered; on a failure it is kept, and the failure raised."""
        taken, now = dict(self._waiting), self._monotonic()
        if not taken:
            return
        rejected = [
            Rejection(
                cluster_id=sender.cluster_id,
                vmid=sender.vmid,
                smbios_uuid=sender.smbios_uuid,
                reason=noted.reason,
                age=timedelta(seconds=now - noted.at),
            )
            for sender, noted in taken.items()
        ]
        async with self._engine.begin() as connection:
            await store.record_rejections(connection, rejected, await database_now(connection))
        self._forget(taken, now)

    def _forget(self, taken: Mapping[Sender, _Noted], now: float) -> None:
        """What was written need not be written again for a while."""
        recent = now - EVERY.total_seconds()
        self._written = {one: at for one, at in self._written.items() if at > recent}
        self._written |= dict.fromkeys(taken, now)
        for sender, noted in taken.items():
            if self._waiting.get(sender) is noted:
                del self._waiting[sender]
