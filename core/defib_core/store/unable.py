"""VMs that a look found unable to report: paused, locked, off, moving, or on a node that is away.

What is noted lasts until a look finds the VM able again; then its clock starts again, as it could
not be heard before. A heartbeat makes it void. The list's own word, which knows of no pause, is
`proxmox_busy`. States are locked before the VMs they belong to, in the order of their ids.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

WAS_UNABLE = """
coalesce(v.unable_since > coalesce(s.last_heartbeat, '-infinity')
         AND v.unable_since > coalesce(s.last_attempt_at, '-infinity'), false)
"""
"""Of `vm_state s JOIN vm v`. After a reset of ours the wait is that between attempts."""

LOCK = text(f"""
SELECT s.vm_id FROM vm_state s JOIN vm v ON v.id = s.vm_id
WHERE s.vm_id = ANY (CAST(:cannot AS bigint[])) AND NOT {WAS_UNABLE}
   OR s.vm_id = ANY (CAST(:can AS bigint[]))
ORDER BY s.vm_id
FOR UPDATE OF s
""")
NOTE = text(f"""
WITH due AS (
    SELECT s.vm_id FROM vm_state s JOIN vm v ON v.id = s.vm_id
    WHERE s.vm_id = ANY (CAST(:vm_ids AS bigint[])) AND NOT {WAS_UNABLE}
    ORDER BY s.vm_id
    FOR UPDATE OF s
)
UPDATE vm SET unable_since = :now FROM due WHERE vm.id = due.vm_id
""")
RELEASE = text(f"""
WITH due AS (
    SELECT s.vm_id, {WAS_UNABLE} AS was_unable FROM vm_state s JOIN vm v ON v.id = s.vm_id
    WHERE s.vm_id = ANY (CAST(:vm_ids AS bigint[])) AND v.unable_since IS NOT NULL
    ORDER BY s.vm_id
    FOR UPDATE OF s
),
able AS (
    UPDATE vm SET unable_since = NULL FROM due WHERE vm.id = due.vm_id
)
UPDATE vm_state s SET clock_floor = :now FROM due WHERE s.vm_id = due.vm_id AND due.was_unable
""")


async def lock(connection: AsyncConnection, cannot: Sequence[int], can: Sequence[int]) -> None:
    """Lock the states that noting and releasing would change, before the first is changed."""
    if cannot or can:
        await connection.execute(LOCK, {"cannot": list(cannot), "can": list(can)})


async def note(connection: AsyncConnection, vm_ids: Sequence[int], now: datetime) -> None:
    """Note that these cannot report now."""
    if vm_ids:
        await connection.execute(NOTE, {"vm_ids": list(vm_ids), "now": now})


async def release(connection: AsyncConnection, vm_ids: Sequence[int], now: datetime) -> None:
    """Start the clock again of those among these that could not report before."""
    if vm_ids:
        await connection.execute(RELEASE, {"vm_ids": list(vm_ids), "now": now})
