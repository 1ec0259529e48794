"""From a report of a known VM to the row that is stored."""

from defib_api.ingest.report import Report, agent_time_of, whole
from defib_core.store.heartbeats import Heartbeat

DEFAULT_STATUS = "running"


def heartbeat_of(
    vm_id: int, report: Report, *, age: float = 0.0, relay_id: int | None = None
) -> Heartbeat:
    """Round to the units that are stored."""
    return Heartbeat(
        vm_id=vm_id,
        status=report.status or DEFAULT_STATUS,
        cpu=round(report.cpu_usage, 2),
        ram=round(report.ram_usage),
        ram_total=round(report.ram_total),
        disk=whole(report.disk_usage),
        disk_total=whole(report.disk_total),
        uptime=whole(report.uptime),
        boot_id=report.boot_id,
        agent_time=agent_time_of(report.timestamp),
        age=age,
        relay_id=relay_id,
        worst_disk=report.worst_disk,
        worst_disk_percent=_worst_percent(report),
    )


def is_without_its_clock(heartbeat: Heartbeat, report: Report) -> bool:
    """True where the report's own clock was absurd, so that it was stored without it."""
    return heartbeat.agent_time is None and report.timestamp is not None


def _worst_percent(report: Report) -> float | None:
    used, total = report.worst_disk_usage, report.worst_disk_total
    if report.worst_disk is None or used is None or total is None:
        return None
    return round(100 * used / total, 1)
