"""The last hour of some VMs, in few numbers."""

from collections.abc import Sequence

from pydantic import Field

from defib_api.schemas.base import ApiModel, Moment
from defib_api.schemas.identifiers import vm_id_text
from defib_core.store import sparklines


class Sparkline(ApiModel):
    """One VM: percent, oldest first; null where nothing was reported."""

    id: str
    cpu: list[float | None]
    ram: list[float | None]


class Sparklines(ApiModel):
    """Those of the VMs that were asked for and reported; each step is a mean."""

    since: Moment = Field(description="When the first step begins.")
    step_seconds: int
    lines: list[Sparkline]

    @classmethod
    def from_store(cls, found: sparklines.Sparklines) -> "Sparklines":
        """Show what the store found, to a tenth of a percent."""
        return cls(
            since=found.since,
            step_seconds=int(sparklines.STEP.total_seconds()),
            lines=[
                Sparkline(id=vm_id_text(vm_id), cpu=_short(one.cpu), ram=_short(one.ram))
                for vm_id, one in sorted(found.lines.items())
            ],
        )


def _short(values: Sequence[float | None]) -> list[float | None]:
    return [None if value is None else round(value, 1) for value in values]
