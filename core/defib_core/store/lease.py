"""Who leads: one row, taken by compare-and-set, with an epoch that every intent and POST names."""

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

TAKE = text("""
UPDATE leader_lease l SET
    holder = :holder,
    epoch = CASE WHEN l.holder = :holder AND l.expires_at > clock.now THEN l.epoch
                 ELSE l.epoch + 1 END,
    expires_at = clock.now + :duration
FROM (SELECT defib_now() AS now) AS clock
WHERE l.name = 'operator'
  AND (l.holder = :holder OR l.holder IS NULL OR l.expires_at IS NULL
       OR l.expires_at <= clock.now OR l.expires_at = CAST(:overdue AS timestamptz))
RETURNING l.epoch
""")
RELEASE = text("""
UPDATE leader_lease SET holder = NULL, expires_at = NULL
WHERE name = 'operator' AND holder = :holder AND epoch = :epoch
""")
IN_FORCE = text("""
SELECT EXISTS (SELECT FROM leader_lease
               WHERE name = 'operator' AND epoch = :epoch AND expires_at > :now FOR SHARE)
""")
SEEMS_IN_FORCE = text("""
SELECT EXISTS (SELECT FROM leader_lease
               WHERE name = 'operator' AND epoch = :epoch AND expires_at > :now)
""")
MINE = text("""
SELECT EXISTS (SELECT FROM leader_lease WHERE name = 'operator' AND epoch = :epoch FOR SHARE)
""")
EXPIRES_AT = text("SELECT expires_at FROM leader_lease WHERE name = 'operator'")
LEADER = text("""
SELECT holder, epoch, expires_at > defib_now() AS valid FROM leader_lease WHERE name = 'operator'
""")


async def take_or_renew(
    connection: AsyncConnection,
    holder: str,
    duration: timedelta,
    *,
    overdue: datetime | None = None,
) -> int | None:
    """Take the lease or prolong it; return its epoch, or None while another holds it.

    `overdue`: a lease that ends then may be taken as well: by the caller's own clock it was not
    renewed for longer than it lasts. Else nobody could lead after the database's clock was set back
    until that has caught up.

    A holder whose lease had run out gets a new epoch, so what it began before is not its own.
    """
    epoch = await connection.execute(
        TAKE, {"holder": holder, "duration": duration, "overdue": overdue}
    )
    found = epoch.scalar_one_or_none()
    return None if found is None else int(found)


async def expires_at(connection: AsyncConnection) -> datetime | None:
    """Say when the lease runs out, whoever holds it."""
    moment: datetime | None = (await connection.execute(EXPIRES_AT)).scalar_one()
    return moment


async def release(connection: AsyncConnection, holder: str, epoch: int) -> None:
    """Give the lease back, so that another replica leads at once."""
    await connection.execute(RELEASE, {"holder": holder, "epoch": epoch})


async def is_in_force(connection: AsyncConnection, epoch: int, now: datetime) -> bool:
    """Check the epoch inside the caller's transaction; nobody can take the lease until it ends."""
    return bool((await connection.execute(IN_FORCE, {"epoch": epoch, "now": now})).scalar_one())


async def seems_in_force(connection: AsyncConnection, epoch: int, now: datetime) -> bool:
    """Check the epoch without a lock, before long work; `is_in_force` has the last word."""
    bound = {"epoch": epoch, "now": now}
    return bool((await connection.execute(SEEMS_IN_FORCE, bound)).scalar_one())


async def is_mine(connection: AsyncConnection, epoch: int) -> bool:
    """Check inside the caller's transaction that nobody took the lease since this epoch began."""
    return bool((await connection.execute(MINE, {"epoch": epoch})).scalar_one())


async def leader(connection: AsyncConnection) -> str | None:
    """Name the holder of a valid lease; None while nobody leads."""
    row = (await connection.execute(LEADER)).one()
    return str(row.holder) if row.holder is not None and row.valid else None
