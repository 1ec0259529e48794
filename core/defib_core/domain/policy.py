"""What a fleet's SystemConfig says, as the values the rules work with.

Defaults are those of the custom resource; a contract test holds the two together.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from defib_core.domain.actions import Action

BACK_OFF_LIMIT = timedelta(hours=1)


class LifeSignal(StrEnum):
    """A second sign of life that is asked for before a reset."""

    GUEST_AGENT = "guestAgent"
    IO = "io"


@dataclass(frozen=True, slots=True)
class SafetyPolicy:
    """Brakes and second looks; see docs/safety.md for each."""

    arm_after_reports: int = 3
    max_down_percent: int = 20
    max_node_down_percent: int = 50
    min_down_allowed: int = 2
    failure_domain_label: str | None = None
    max_concurrent_percent: int = 5
    max_concurrent_per_node: int = 2
    max_resets_per_hour: int = 30
    storm_cooldown: timedelta = timedelta(seconds=300)
    second_life_signals: frozenset[LifeSignal] = frozenset({LifeSignal.GUEST_AGENT, LifeSignal.IO})
    identity_check: bool = True
    blind_after: timedelta = timedelta(seconds=15)
    control_plane_stale: timedelta = timedelta(seconds=120)
    io_window: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Policy:
    """One SystemConfig: how the VMs of one fleet are judged and treated. Thresholds in percent."""

    stale_timeout: timedelta = timedelta(milliseconds=300_000)
    cpu_threshold: float = 80.0
    ram_threshold: float = 90.0
    auto_reset_enabled: bool = True
    dry_run: bool = False
    stale_check_interval: timedelta = timedelta(seconds=10)
    report_interval: timedelta = timedelta(seconds=30)
    max_reset_attempts: int = 3
    boot_grace: timedelta = timedelta(seconds=300)
    attempts_clear_after: timedelta = timedelta(seconds=3600)
    auto_register: bool = True
    safety: SafetyPolicy = field(default_factory=SafetyPolicy)

    def back_off(self, attempts: int) -> timedelta:
        """How long the next attempt waits after the given one: doubling, at most an hour."""
        if attempts <= 0:
            return timedelta(0)
        return min(self.boot_grace * (1 << min(attempts - 1, 16)), BACK_OFF_LIMIT)


DEFAULT_STEPS: tuple[Action, ...] = (Action.RESET, Action.RESET, Action.STOP_START)


def action_for_attempt(attempt: int, steps: tuple[Action, ...]) -> Action:
    """Pick the action of the given attempt (1 is the first); the last step repeats."""
    return steps[min(attempt, len(steps)) - 1] if steps else Action.RESET
