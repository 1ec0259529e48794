"""Two machines that report as one VM: when that is suspected, and when it is over.

A boot id is drawn anew at each boot, so one that comes back after another belongs to a second
machine. The heartbeat's statement sees it; twice within SUSPECTED_FOR it is a suspicion, so that
neither a report that was late nor one return to a snapshot is. Judges nothing and holds nothing.
"""

from datetime import datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

SUSPECTED_FOR = timedelta(minutes=10)
SUSPECTED_FOR_SQL = "interval '10 minutes'"


def turned_uuid(uuid: str) -> str:
    """SQL of a UUID as firmware shows it that turns the first three parts' bytes around."""
    return rf"""
    CAST(regexp_replace({uuid}::text, '^(..)(..)(..)(..)-(..)(..)-(..)(..)',
                        '\4\3\2\1-\6\5-\8\7') AS uuid)
    """


IS_ANOTHER_MACHINE = f"v.smbios_uuid NOT IN (v.pinned_uuid, {turned_uuid('v.pinned_uuid')})"
"""Of a `vm v`: who reports is not what Proxmox has. Null where one is not known; the same rule as
`decide.is_same_uuid`."""

END = text(f"""
WITH due AS (
    SELECT vm_id FROM vm_state
    WHERE clone_since IS NOT NULL AND boot_returned_at <= :now - {SUSPECTED_FOR_SQL}
    ORDER BY vm_id FOR UPDATE
),
ended AS (
    UPDATE vm_state s SET clone_since = NULL FROM due WHERE s.vm_id = due.vm_id RETURNING s.vm_id
),
status AS (
    INSERT INTO status_outbox (vm_id) SELECT vm_id FROM ended
)
INSERT INTO fleet_change (vm_id) SELECT vm_id FROM ended
""")


async def end_what_is_over(connection: AsyncConnection, now: datetime) -> int:
    """Forget suspicions that nothing has confirmed for SUSPECTED_FOR; return how many."""
    return int((await connection.execute(END, {"now": now})).rowcount)
