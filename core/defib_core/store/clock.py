"""The database's clock: the only one by which ages are measured."""

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

CLOCK_JUMP = timedelta(seconds=5)
"""How far the clock may be corrected without anybody taking note: what moves it more is a jump."""


def has_come(moment: str, now: str = ":now") -> str:
    """SQL: true where a moment is not one that the clock, set back since, has yet to reach.

    After a jump such moments count for nothing, as the jump starts every clock again. A correction
    by less than CLOCK_JUMP starts none, so what it puts a little into the future goes on counting.
    """
    return f"({moment} <= {now} + interval '{CLOCK_JUMP.total_seconds():g} s')"


async def database_now(connection: AsyncConnection) -> datetime:
    """Read the clock, once a cycle, at the edge; pass the value down."""
    now: datetime = (await connection.execute(text("SELECT defib_now()"))).scalar_one()
    return now
