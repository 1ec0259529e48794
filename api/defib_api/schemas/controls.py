"""What people set: pauses, maintenance windows, the global stop, clears; and the log of it all."""

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from defib_api.schemas.base import ApiModel, Moment
from defib_api.schemas.failures import Failure
from defib_api.schemas.identifiers import audit_id_text, vm_id_text, window_id_text
from defib_api.schemas.resets import Reason
from defib_core.config.system_config import LABEL_KEY, WINDOW_NAME, WINDOW_NAME_WANTED
from defib_core.domain.actions import Source
from defib_core.store.audit import AuditLine, Deed
from defib_core.store.controls import GlobalStop
from defib_core.store.windows import ListedWindow

MINUTES_MOST = 366 * 24 * 60
LABELS_MOST = 16
LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")


def _as_text(value: object) -> object:
    """A number would be read as seconds since 1970, which nobody means."""
    if isinstance(value, str):
        return value
    raise PydanticCustomError("rule", "must be a time such as 2026-01-31T12:00:00Z, as text")


def _are_labels(value: dict[str, str]) -> dict[str, str]:
    for key, label in value.items():
        if not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(label):
            text = f"{key}={label}"[:80]
            raise PydanticCustomError("rule", "has a label that no object can carry: " + text)
    return value


def _is_name(value: str) -> str:
    if not WINDOW_NAME.fullmatch(value):
        raise PydanticCustomError("rule", WINDOW_NAME_WANTED)
    return value


Time = Annotated[AwareDatetime, BeforeValidator(_as_text)]
Minutes = Annotated[int, Field(ge=1, le=MINUTES_MOST)]
Labels = Annotated[dict[str, str], Field(max_length=LABELS_MOST), AfterValidator(_are_labels)]
WindowName = Annotated[str, Field(max_length=63), AfterValidator(_is_name)]


class Wish(ApiModel):
    """What a person asks for. A misspelt field is refused: it might have been the end."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason = Field(description="Who does what; it is kept, and shown where it holds.")


class PauseRequest(Wish):
    """Pause a VM; without an end until somebody ends it."""

    until: Time | None = Field(default=None, description="When it ends by itself.")
    minutes: Minutes | None = Field(default=None, description="Or: how long it lasts.")

    @model_validator(mode="after")
    def _has_one_end(self) -> Self:
        if self.until is not None and self.minutes is not None:
            raise PydanticCustomError("rule", "has until and minutes: give one of them")
        return self


class ClearRequest(Wish):
    """Set a VM's counter of attempts back to 0."""


class StopRequest(Wish):
    """Stop every reset, everywhere."""


class MaintenanceRequest(Wish):
    """Open a maintenance window, or change the open one of this name."""

    name: WindowName | None = Field(default=None, description="Made up where it is left out.")
    match_labels: Labels = Field(
        description="Labels that a VirtualMachine must carry, all of them; {} means every VM."
    )
    starts_at: Time | None = Field(default=None, alias="from", description="Left out: now.")
    until: Time | None = Field(default=None, description="When it ends by itself.")
    minutes: Minutes | None = Field(default=None, description="Or: how long it lasts.")

    @model_validator(mode="after")
    def _has_one_end(self) -> Self:
        if (self.until is None) == (self.minutes is None):
            raise PydanticCustomError("rule", "needs an end: give either until or minutes")
        return self


class Done(ApiModel):
    """It is so now."""

    success: Literal[True] = True
    changed: bool = Field(description="false: it was so already, and nothing was written.")
    message: str = Field(description="What was done, and what follows.")


class WindowOpened(Done):
    """The window is open, or will be."""

    id: str
    name: str
    vms: int = Field(description="How many VMs carry the labels now.")


class ControlConflict(Failure):
    """It was set by another way, and only that way ends it."""

    reason: str = Field(description="PausedInSpec, StoppedInSpec or MaintenanceInSpec.")


class Maintenance(ApiModel):
    """A maintenance window that is not over."""

    id: str
    name: str
    match_labels: dict[str, str] = Field(description="{} means every VM.")
    starts_at: Moment = Field(alias="from")
    until: Moment
    reason: str
    created_by: str
    system_config: str | None = Field(
        description="The SystemConfig that asks for it, for its own VMs; null: set by hand."
    )
    active: bool = Field(description="It has begun.")
    vms: int = Field(description="How many VMs it is for now.")

    @classmethod
    def from_listed(cls, listed: ListedWindow, now: datetime) -> Self:
        """Show a window as it is at `now`."""
        window = listed.window
        return cls(
            id=window_id_text(window.id),
            name=window.name,
            match_labels=dict(window.selector),
            starts_at=window.starts_at,
            until=window.ends_at,
            reason=window.reason,
            created_by=window.created_by,
            system_config=listed.system_config,
            active=window.starts_at <= now < window.ends_at,
            vms=listed.vms,
        )


class Stop(ApiModel):
    """One global stop in force."""

    reason: str
    by: str
    since: Moment
    system_config: str | None = Field(
        description="The SystemConfig that asks for it, and alone ends it; null: set by hand."
    )


class GlobalStopState(ApiModel):
    """Whether everything is stopped, and by what."""

    stopped: bool
    stops: list[Stop]

    @classmethod
    def from_stops(cls, stops: list[GlobalStop]) -> Self:
        """Show the stops in force."""
        shown = [
            Stop(
                reason=one.reason,
                by=one.started_by,
                since=one.started_at,
                system_config=one.system_config,
            )
            for one in stops
        ]
        return cls(stopped=bool(shown), stops=shown)


class AuditEntry(ApiModel):
    """What somebody did."""

    id: str
    timestamp: Moment
    actor: str = Field(description="The token's name; kubectl where a spec or annotation says so.")
    source: Source
    action: Deed
    vm_id: str | None
    hostname: str | None
    reason: str | None
    detail: dict[str, Any] = Field(description="What else belongs to it, the reason included.")

    @classmethod
    def from_line(cls, line: AuditLine) -> Self:
        """Show a line of the log."""
        return cls(
            id=audit_id_text(line.id),
            timestamp=line.at,
            actor=line.actor,
            source=line.source,
            action=line.action,
            vm_id=None if line.vm_id is None else vm_id_text(line.vm_id),
            hostname=line.hostname,
            reason=line.detail.get("reason"),
            detail=dict(line.detail),
        )
