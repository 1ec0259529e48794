"""When a sweep could find something else than the last one did, though nothing has changed.

Each moment that is on record and each length of time that the rules count from such a moment meet
in one that may be due. Exact where `deadlines` is generous: what lies between two is left out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from defib_core.config.system_config import SystemConfigSpec
from defib_core.domain.brakes import suspect_after
from defib_core.domain.policy import BACK_OFF_LIMIT
from defib_core.store.holds import ALERTS_AFTER

HOUR, DAY, AT_ONCE = timedelta(hours=1), timedelta(days=1), timedelta(0)

MOMENTS = """
SELECT 'silence', m.at FROM vm_state s JOIN vm v ON v.id = s.vm_id
    CROSS JOIN LATERAL (VALUES (s.last_heartbeat), (s.clock_floor), (v.managed_at)) AS m(at)
    WHERE s.vm_id <> ALL (%(steady)s::bigint[])
UNION ALL SELECT 'attempt', m.at FROM vm_state s
    CROSS JOIN LATERAL (VALUES (s.last_attempt_at), (s.alive_since)) AS m(at)
    WHERE s.reset_attempts > 0 OR s.last_attempt_at IS NOT NULL
UNION ALL SELECT 'floor', ended_at FROM ingest_gap
UNION ALL SELECT 'floor', ended_at FROM global_stop
UNION ALL SELECT 'sent', sent_at FROM reset_history
UNION ALL SELECT 'claimed', sending_at FROM reset_step
UNION ALL SELECT 'brake', ended_at FROM brake
UNION ALL SELECT 'rejected', at FROM report_rejection
UNION ALL SELECT 'hold', started_at FROM hold
UNION ALL SELECT 'end', until FROM pause
UNION ALL SELECT 'end', paused_until FROM vm
UNION ALL SELECT 'end', m.at FROM maintenance
    CROSS JOIN LATERAL (VALUES (starts_at), (ends_at)) AS m(at)
"""
"""`steady`: the VMs that report all the time, whose silence never lasts."""
STARTED = "started"
"""The start of a QEMU process, as Proxmox says."""


def lengths(config: SystemConfigSpec) -> Mapping[str, Sequence[timedelta]]:
    """Say which lengths count from each kind of moment."""
    policy = config.to_policy()
    stale, grace = policy.stale_timeout, policy.boot_grace
    suspect, clears = suspect_after(policy, stale), policy.attempts_clear_after
    return {
        "silence": (suspect, stale),
        STARTED: (stale,),
        "attempt": (clears, *_waits(grace), BACK_OFF_LIMIT, HOUR),
        "floor": (suspect, stale, grace, clears),
        "sent": (grace, HOUR, DAY),
        "claimed": (DAY,),
        "brake": (policy.safety.storm_cooldown,),
        "rejected": (stale,),
        "hold": (ALERTS_AFTER,),
        "end": (AT_ONCE,),
    }


def _waits(grace: timedelta) -> Iterator[timedelta]:
    while AT_ONCE < grace < BACK_OFF_LIMIT:
        yield grace
        grace *= 2


def due(
    moments: Iterable[tuple[str, datetime | None]], counting: Mapping[str, Sequence[timedelta]]
) -> list[datetime]:
    """Give every moment at which something may be due."""
    return [at + length for kind, at in moments if at is not None for length in counting[kind]]
