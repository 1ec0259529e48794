"""An orderly shutdown: the agent's last word opens a short maintenance, with the boot after it."""

from datetime import datetime, timedelta

STOPPING = "stopping"
STOPPING_LASTS = timedelta(minutes=10)
"""How long an orderly shutdown, with the boot after it, may take."""


def stopping_until(status: str | None, last_heartbeat: datetime | None) -> datetime | None:
    """Until when a VM that said that it shuts down is in maintenance; None where it did not."""
    if status != STOPPING or last_heartbeat is None:
        return None
    return last_heartbeat + STOPPING_LASTS
