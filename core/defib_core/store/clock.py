"""The database's clock: the only one by which ages are measured."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def database_now(connection: AsyncConnection) -> datetime:
    """Read the clock, once a cycle, at the edge; pass the value down."""
    now: datetime = (await connection.execute(text("SELECT defib_now()"))).scalar_one()
    return now
