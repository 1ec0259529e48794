"""What an agent under test sent, and what it was answered. Values only."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

REPORT, BATCH = "/api/health/report", "/api/health/reports"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer. Times are seconds of a monotonic clock."""

    step: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    came: float
    answered: float
    status: int

    @property
    def json(self) -> dict[str, Any]:
        """The body; empty where it is no JSON object."""
        try:
            read = json.loads(self.body)
        except ValueError:
            return {}
        return read if isinstance(read, dict) else {}

    @property
    def is_report(self) -> bool:
        """True for a single report that is no last word."""
        return self.path == REPORT and self.json.get("status", "running") != "stopping"

    @property
    def is_accepted(self) -> bool:
        """Whether it was answered with a 200."""
        return self.status == 200  # noqa: PLR2004 - HTTP's own word for it
