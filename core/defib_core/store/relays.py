"""Relays: their tokens, their proofs, and the times when they did not prove themselves.

A relay proves itself through the request that brings its reports. The first proof after a silence
writes down the gap; the sweep moves the clocks of the VMs behind it, as for the API itself.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.store.clock import CLOCK_JUMP, has_come
from defib_core.store.liveness import GAP_AFTER
from defib_core.store.tokens import digest

PROVE_EVERY = timedelta(seconds=1)

CREATE = text("""
INSERT INTO relay (name, cluster_id, sha256) VALUES (:name, :cluster_id, :sha256)
ON CONFLICT (name) DO UPDATE SET sha256 = excluded.sha256, cluster_id = excluded.cluster_id,
    revoked_at = NULL
WHERE relay.revoked_at IS NOT NULL
RETURNING id
""")
REVOKE = text("""
UPDATE relay SET revoked_at = defib_now() WHERE name = :name AND revoked_at IS NULL RETURNING id
""")
ALL = text("""
SELECT r.id, r.name, c.name AS cluster, r.created_at, r.revoked_at, r.proved_at, r.waiting, r.lost,
    r.version, defib_now() AS now
FROM relay r JOIN proxmox_cluster c ON c.id = r.cluster_id
ORDER BY r.name
""")
LOAD = text("SELECT sha256, id, name, cluster_id FROM relay WHERE revoked_at IS NULL")
PROVE = text("""
WITH clock AS (SELECT defib_now() AS now),
gap AS (
    INSERT INTO relay_gap (relay_id, started_at, ended_at)
    SELECT r.id, r.proved_at, clock.now FROM relay r, clock
    WHERE r.id = :relay_id AND clock.now - r.proved_at > :gap_after
)
UPDATE relay SET proved_at = clock.now, waiting = :waiting, lost = :lost, version = :version
FROM clock WHERE id = :relay_id AND revoked_at IS NULL
""")
# One that was revoked is no longer waited for: its VMs have a full timeout from then on.
PROOFS = text(f"""
SELECT r.id, r.name, r.proved_at, r.revoked_at,
    (SELECT max(g.ended_at) FROM relay_gap g
     WHERE g.relay_id = r.id AND g.ended_at - g.started_at > :blind_after
       AND {has_come("g.ended_at", "defib_now()")}) AS back_at
FROM relay r
""")


@dataclass(frozen=True, slots=True)
class KnownRelay:
    """A relay that was not revoked."""

    id: int
    name: str
    cluster_id: int


@dataclass(frozen=True, slots=True)
class Said:
    """What a relay says of itself: reports on its disk, reports it had to drop, its version."""

    waiting: int = 0
    lost: int = 0
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A relay, as an administrator sees it. `now` is the database's clock."""

    id: int
    name: str
    cluster: str
    created_at: datetime
    revoked_at: datetime | None
    proved_at: datetime | None
    waiting: int
    lost: int
    version: str | None
    now: datetime


@dataclass(frozen=True, slots=True)
class RelayClock:
    """What the sweep needs of one relay, for one fleet."""

    relay_id: int
    name: str
    blind_since: datetime | None
    """Since when it has not proved itself, where that is too long."""
    floor: datetime | None
    """When it was back after it had not proved itself for too long, or was given up."""

    @property
    def blindness(self) -> str | None:
        """Why it is not heard, for the person on call; None where it is."""
        if self.blind_since is None:
            return None
        since = f"{self.blind_since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return (
            f"it reports through the relay {self.name}, which has not proved itself since {since}"
        )


def unheard(limit: str) -> str:
    """SQL: true where the VM `s` is behind a relay that is not heard, or was not until lately.

    `limit` is how long it has to have been heard again.
    """
    return f"""(s.relay_id IS NOT NULL AND EXISTS (
        SELECT FROM relay_clock q WHERE q.relay_id = s.relay_id AND q.config_id = s.config_id
        AND (q.blind OR :now - q.floor <= {limit})))"""


RELAY_CLOCK = """
relay_clock AS (
    SELECT * FROM unnest(
        CAST(:relay_configs AS int[]), CAST(:relay_ids AS int[]), CAST(:relay_blind AS bool[]),
        CAST(:relay_floors AS timestamptz[])
    ) AS q(config_id, relay_id, blind, floor)
)
"""


def bind(clocks: Mapping[int, Sequence["RelayClock"]]) -> dict[str, object]:
    """What RELAY_CLOCK asks for: the relays as each fleet sees them."""
    every = [(fleet, one) for fleet, relays in clocks.items() for one in relays]
    return {
        "relay_configs": [fleet for fleet, _ in every],
        "relay_ids": [one.relay_id for _, one in every],
        "relay_blind": [one.blind_since is not None for _, one in every],
        "relay_floors": [one.floor for _, one in every],
    }


class RelayExists(Exception):
    """There is a relay of that name, and it was not revoked."""


async def create(connection: AsyncConnection, name: str, cluster_id: int) -> str:
    """Make a relay and return its token, which cannot be read again; raise RelayExists."""
    token = f"defib_relay_{secrets.token_urlsafe(32)}"
    made = await connection.execute(
        CREATE, {"name": name, "cluster_id": cluster_id, "sha256": digest(token)}
    )
    if made.scalar_one_or_none() is None:
        raise RelayExists(f"there is a relay named {name}; revoke it first, or choose another name")
    return token


async def revoke(connection: AsyncConnection, name: str) -> bool:
    """Refuse a relay from now on, and wait for it no longer; False where there is none."""
    return (await connection.execute(REVOKE, {"name": name})).scalar_one_or_none() is not None


async def listed(connection: AsyncConnection) -> Sequence[Listed]:
    """Read all relays, by name."""
    return [Listed(**row._mapping) for row in await connection.execute(ALL)]


async def load(connection: AsyncConnection) -> dict[bytes, KnownRelay]:
    """Load the relays that may report, by their tokens' digests."""
    return {
        bytes(row.sha256): KnownRelay(row.id, row.name, row.cluster_id)
        for row in await connection.execute(LOAD)
    }


async def prove(connection: AsyncConnection, relay_id: int, said: Said) -> None:
    """Note that a relay brought what it had."""
    await connection.execute(
        PROVE,
        {
            "relay_id": relay_id,
            "gap_after": GAP_AFTER,
            "waiting": said.waiting,
            "lost": said.lost,
            "version": said.version,
        },
    )


async def clocks(
    connection: AsyncConnection, blind_after: timedelta, now: datetime
) -> Sequence[RelayClock]:
    """Say of each relay whether it is heard, and since when."""
    rows = await connection.execute(PROOFS, {"blind_after": blind_after})
    return [
        RelayClock(
            relay_id=row.id,
            name=row.name,
            blind_since=None
            if row.revoked_at is not None
            else blind_since(row.proved_at, blind_after, now),
            floor=max((at for at in (row.back_at, row.revoked_at) if at is not None), default=None),
        )
        for row in rows
    ]


def blind_since(
    proved_at: datetime | None, blind_after: timedelta, now: datetime
) -> datetime | None:
    """Since when a relay is not heard; None while it is.

    A proof from the future was made before the clock jumped back: it proves nothing now.
    """
    if proved_at is None or proved_at > now + CLOCK_JUMP:
        return now
    return proved_at if now - proved_at > blind_after else None
