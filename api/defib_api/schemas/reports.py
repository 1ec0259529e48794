"""A report, described for the OpenAPI. What is accepted is decided by ingest/report.py alone.

A test holds the two together.
"""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from defib_api.ingest.batch import MOST_AGE, MOST_REPORTS
from defib_api.ingest.report import MAX_DISK_MIB, MAX_MIB, MAX_UPTIME, VMID_HIGHEST, VMID_LOWEST
from defib_api.schemas.base import ApiModel

Vmid = Annotated[int, Field(ge=VMID_LOWEST, le=VMID_HIGHEST)]
VmidText = Annotated[str, Field(pattern=r"^[1-9][0-9]{2,8}$")]
Percent = Annotated[float, Field(ge=0, le=100)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]


class HealthReport(ApiModel):
    """What an agent sends every 30 seconds. Unknown further fields are passed over."""

    hostname: str = Field(min_length=1, max_length=253, description="The guest's host name.")
    cpu_usage: Percent = Field(description="Percent of all cores, 0 to 100.")
    ram_usage: float = Field(ge=0, le=MAX_MIB, description="MB, at most ramTotal.")
    ram_total: float = Field(ge=1, le=MAX_MIB, description="MB.")
    vmid: Vmid | VmidText | None = Field(
        default=None,
        description="The VM's number in Proxmox. May be left out where smbiosUuid is sent and"
        " belongs to exactly one known VM of the key's cluster.",
    )
    node: str | None = Field(default=None, max_length=63, description="The Proxmox node, if known.")
    status: str | None = Field(
        default=None, max_length=32, description='One word; "running" where it is left out.'
    )
    disk_usage: float | None = Field(default=None, ge=0, le=MAX_DISK_MIB, description="MB.")
    disk_total: float | None = Field(default=None, ge=1, le=MAX_DISK_MIB, description="MB.")
    worst_disk: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="The fullest mount point or drive, where that is not the root.",
    )
    worst_disk_usage: float | None = Field(default=None, ge=0, le=MAX_DISK_MIB, description="MB.")
    worst_disk_total: float | None = Field(default=None, ge=1, le=MAX_DISK_MIB, description="MB.")
    uptime: float | None = Field(default=None, ge=0, le=MAX_UPTIME, description="Seconds.")
    timestamp: float | None = Field(
        default=None,
        description="The guest's clock in Unix seconds. Kept, never trusted; what is not plausible"
        " is dropped and the report stored all the same.",
    )
    boot_id: Word | None = Field(default=None, description="Changes at each boot of the guest.")
    agent_version: Word | None = None
    smbios_uuid: UUID | None = Field(default=None, description="The firmware's UUID of the guest.")


class Received(ApiModel):
    """The report is committed."""

    success: bool = True
    message: str


class BatchedReport(HealthReport):
    """A report that was under way for a while."""

    age_seconds: float = Field(
        default=0,
        ge=0,
        le=MOST_AGE,
        description="How long before sending the sample was taken, by the sender's monotonic clock."
        " What is older than the report interval fills the history and moves no state.",
    )
    key_digest: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="From a relay: the SHA-256 of the key that the agent sent, in hex.",
    )


class OfTheRelay(ApiModel):
    """What a relay says of itself."""

    waiting: int = Field(default=0, ge=0, description="Reports on its disk, not forwarded yet.")
    lost: int = Field(default=0, ge=0, description="Reports it had to drop since it was set up.")
    version: str | None = Field(default=None, max_length=64)


class ReportBatch(ApiModel):
    """Many reports, at most 1 MiB of them. With X-Relay-Token each has a `keyDigest`."""

    reports: list[BatchedReport] = Field(max_length=MOST_REPORTS)
    relay: OfTheRelay | None = Field(
        default=None, description="From relays only: without it a batch proves nothing."
    )


class RejectedReport(ApiModel):
    """A report of a batch that was not stored."""

    index: int = Field(description="Its place in `reports`, from 0.")
    status: int = Field(description="What it would have been answered by itself.")
    message: str


class BatchReceived(ApiModel):
    """All reports but the rejected ones are committed."""

    success: bool = True
    accepted: int
    rejected: list[RejectedReport]
