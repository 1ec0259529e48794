"""When something may fall due: each kind of timestamp, and the lengths of time that count from it.

Rather too many than too few: a deadline at which nothing happens only costs time. Pure.
"""

from collections.abc import Iterable

from defib_core.config.system_config import SystemConfigSpec
from defib_core.domain.policy import BACK_OFF_LIMIT

HOUR = 3600.0
FIVE_MINUTES = 300.0
"""What a manual reset waits, and how long Proxmox's list believes a dead node."""
MINUTE = 60.0
SILENCES = (1.0, 1.5, 2.0, 3.0)
OF_ATTEMPTS = ("last_attempt_at", "requested_at", "sending_at", "sent_at", "finished_at")


def lengths(column: str, config: SystemConfigSpec, *, is_calm: bool) -> frozenset[float]:
    """Give the lengths, in seconds, after which a timestamp may count.

    While it is calm (all VMs are well or given up) only what lies ahead counts, and counters clear.
    """
    clears = float(config.attempts_clear_after_seconds)
    if is_calm:
        return frozenset({0.0, clears})
    of_attempts = _waits(float(config.boot_grace_seconds)) if column in OF_ATTEMPTS else ()
    return frozenset({clears, *_of_any(config), *of_attempts})


def _of_any(config: SystemConfigSpec) -> Iterable[float]:
    stale, safety = config.stale_timeout_ms / 1000, config.safety
    return (
        0.0,
        MINUTE,
        FIVE_MINUTES,
        stale,
        stale / 2,
        *(times * config.report_interval_seconds for times in SILENCES),
        float(safety.storm_cooldown_seconds),
        float(safety.blind_after_seconds),
        float(safety.control_plane_stale_seconds),
        float(safety.io_window_seconds),
    )


def _waits(boot_grace: float) -> Iterable[float]:
    """Give the waits between attempts, and how long each counts towards the hourly limit."""
    wait, longest = boot_grace, BACK_OFF_LIMIT.total_seconds()
    while wait < longest:
        yield wait
        wait *= 2
    yield max(longest, HOUR)
