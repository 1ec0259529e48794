"""What the probes say."""

from enum import StrEnum

from pydantic import Field

from defib_api.schemas.base import ApiModel, Moment


class CheckStatus(StrEnum):
    """How one part is."""

    OK = "ok"
    DEGRADED = "degraded"
    """Away, and everything still works, slower."""
    DOWN = "down"
    OFF = "off"
    """Not configured."""


class Check(ApiModel):
    """One part: how it is, since when, and why."""

    status: CheckStatus
    since: Moment | None = None
    message: str | None = None


class Readiness(ApiModel):
    """Whether reports can be stored and reads answered."""

    ready: bool
    checks: dict[str, Check] = Field(description="database, ingest, setup, redis")


class Liveness(ApiModel):
    """The process runs."""

    alive: bool = True
