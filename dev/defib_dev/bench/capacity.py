"""How large an installation has to be, reckoned from what was measured. Pure arithmetic.

Cores are those of API and PostgreSQL together, so busy that a burst still finds room; disk is
reports and both means for as long as they are kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from defib_core.store.metrics import FIVE_MINUTES_KEPT, HOURS_KEPT, RAW_KEPT

Medians: TypeAlias = Callable[[str, str], float | None]
"""Finds a median by the titles of its table and its row."""
SIZES = (1_000, 10_000, 100_000, 1_000_000)
INTERVAL = 30.0
"""Seconds between two reports of a VM."""
BUSY = 0.6
DAY = 86_400.0
COLUMNS = (
    "VMs",
    "Reports/s",
    "Cores, agents report themselves",
    "Cores, through relays",
    "Disk a day of reports",
    "Disk in all",
    "Memory of the operator",
)
GIB = 2**30
TITLE = "Capacity"
COSTS_ARE = (
    ("Reports", "Defib: CPU of server"),
    ("Reports", "Defib: CPU of postgresql"),
    ("Reports", "Defib by batches of 100: CPU of server"),
    ("Reports", "Defib by batches of 100: CPU of postgresql"),
    ("History", "Disk, key index included"),
    ("History", "Disk of a mean in vm_metric_5m, key index included"),
    ("History", "Disk of a mean in vm_metric_1h, key index included"),
)
"""Table and row of each, in the order of `Costs`."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What one report costs; microseconds and bytes."""

    direct: float
    relayed: float
    report: float
    five_minutes: float
    hour: float


def costs_of(median: Medians) -> Costs | None:
    """Find them; None where one of them is not there."""
    found = [median(*where) for where in COSTS_ARE]
    values = [one for one in found if one is not None]
    if len(values) < len(found):
        return None
    return Costs(values[0] + values[1], values[2] + values[3], *values[4:])


def markdown(median: Medians) -> str | None:
    """The table; None where what it is reckoned from is not there."""
    costs = costs_of(median)
    if costs is None:
        return None
    rows = [_row(vms, costs, _operator(median, vms)) for vms in SIZES]
    said = (
        f"Reckoned from the figures above: every VM reports each {INTERVAL:.0f} s, the cores are "
        f"{BUSY:.0%} busy, and history is kept for as long as it is. "
        f"A report takes {costs.report:.0f} bytes with its key, a mean of five minutes "
        f"{costs.five_minutes:.0f}, of an hour {costs.hour:.0f}."
    )
    lines = [
        said,
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|" + "--:|" * len(COLUMNS),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
    return "\n".join(lines)


def disk_of_a_vm(costs: Costs) -> float:
    """Bytes that the history of one VM takes once all of it is there."""
    return (
        RAW_KEPT.total_seconds() / INTERVAL * costs.report
        + FIVE_MINUTES_KEPT.total_seconds() / 300 * costs.five_minutes
        + HOURS_KEPT.total_seconds() / 3600 * costs.hour
    )


def _row(vms: int, costs: Costs, memory: str) -> tuple[str, ...]:
    rate = vms / INTERVAL
    return (
        f"{vms:,}",
        f"{rate:,.0f}",
        f"{_cores(rate, costs.direct)}",
        f"{_cores(rate, costs.relayed)}",
        _gib(vms * DAY / INTERVAL * costs.report),
        _gib(vms * disk_of_a_vm(costs)),
        memory,
    )


def _cores(rate: float, microseconds: float) -> str:
    return f"{max(rate * microseconds / 1e6 / BUSY, 0.1):,.1f}"


def _gib(size: float) -> str:
    return f"{size / GIB:,.1f} GiB"


def _operator(median: Medians, vms: int) -> str:
    steady = median("Operator", f"{vms:,} objects: memory with nothing to do")
    return "" if steady is None else f"{steady:,.0f} MiB"
