"""Whether Defib itself is well, in one word for whoever watches the watchman."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

HOW = text("""
SELECT (SELECT max(proved_at) FROM ingest_liveness) > defib_now() - interval '15 seconds'
        AS stores,
    EXISTS (SELECT FROM leader_lease WHERE holder IS NOT NULL AND expires_at > defib_now())
        AS is_led,
    (SELECT swept_at FROM operator_health) > defib_now() - interval '2 minutes' AS sweeps
""")


async def trouble(connection: AsyncConnection) -> str | None:
    """Say what is wrong; None where reports are stored and an operator sweeps."""
    row = (await connection.execute(HOW)).one()
    if not row.stores:
        return "no API replica stores reports"
    if not row.is_led:
        return "no operator leads"
    return None if row.sweeps else "no sweep has ended for two minutes"
