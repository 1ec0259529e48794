"""Enrolment: what machines ask and get, and what administrators see of tokens."""

import re
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from defib_api.ingest.explain import EXPECTED
from defib_api.ingest.report import HOST_NAME, NO_UUID, vmid_is_sane
from defib_api.schemas.base import ApiModel, Moment
from defib_api.schemas.controls import Labels
from defib_api.schemas.identifiers import (
    agent_token_id_text,
    api_token_id_text,
    enrolment_id_text,
    vm_id_text,
)
from defib_core.store.agent_tokens import ListedAgentToken
from defib_core.store.enrolment import Machine
from defib_core.store.enrolment_tokens import ListedEnrolmentToken

NAMES = re.compile(HOST_NAME)
WORD = re.compile(r"\A[A-Za-z0-9][A-Za-z0-9._+-]{0,63}\Z")
NODE_MOST, HOSTNAME_MOST = 63, 253
HOUR_MINUTES, MONTH_MINUTES = 60, 31 * 24 * 60


def _hostname(value: str) -> str:
    if len(value) > HOSTNAME_MOST or not NAMES.match(value):
        raise PydanticCustomError("rule", EXPECTED["hostname"])
    return value


def _node(value: str) -> str:
    if value and (len(value) > NODE_MOST or not NAMES.match(value)):
        raise PydanticCustomError("rule", EXPECTED["node"])
    return value


def _word(value: str) -> str:
    if not WORD.match(value):
        raise PydanticCustomError("rule", EXPECTED["bootId"])
    return value


def _vmid(value: object) -> object:
    if not vmid_is_sane(value):
        raise PydanticCustomError("rule", EXPECTED["vmid"])
    return value


Word = Annotated[str, AfterValidator(_word)]
VmidRange = Annotated[int, Field(ge=100, le=999_999_999)]


class EnrolRequest(ApiModel):
    """What a machine that enrols says of itself. Unknown fields are passed over."""

    hostname: Annotated[str, AfterValidator(_hostname)]
    vmid: Annotated[int | str | None, BeforeValidator(_vmid)] = Field(
        default=None, description="The VM's number in Proxmox, as a number or as text."
    )
    smbios_uuid: UUID | None = Field(
        default=None, description="The firmware's UUID. It or vmid must be there."
    )
    node: Annotated[str, AfterValidator(_node)] | None = None
    boot_id: Word | None = None
    agent_version: Word | None = None

    @model_validator(mode="after")
    def _names_a_machine(self) -> Self:
        if self.vmid is None and (self.smbios_uuid is None or self.smbios_uuid in NO_UUID):
            raise PydanticCustomError(
                "rule", "names neither smbiosUuid nor vmid: nobody can tell which VM this is"
            )
        return self

    def machine(self) -> Machine:
        """Say it in the store's words."""
        uuid = self.smbios_uuid
        return Machine(
            hostname=self.hostname,
            vmid=None if self.vmid is None else int(self.vmid),
            smbios_uuid=None if uuid is None or uuid in NO_UUID else str(uuid),
            node=self.node or None,
            agent_version=self.agent_version,
        )


class EnrolAnswer(ApiModel):
    """The machine's own token, shown this once, and whose it is."""

    success: Literal[True] = True
    token: str = Field(description="Send it as X-API-Key with each report.")
    token_id: str
    vm_id: str | None = Field(description="null until Proxmox has shown which VM this is.")
    cluster: str
    vmid: str | None
    node: str | None
    report_interval_seconds: int


class EnrolmentWishBody(ApiModel):
    """An enrolment token that is to be made. A misspelt field is refused."""

    model_config = ConfigDict(extra="forbid")

    name: Word = Field(description="What you will know it by; the machines it lets in carry it.")
    cluster: Annotated[str, Field(max_length=253)] = Field(
        default="default", description="The ProxmoxCluster whose VMs it lets in."
    )
    minutes: Annotated[int, Field(ge=1, le=MONTH_MINUTES)] = Field(
        default=HOUR_MINUTES, description="How long it is good for; a month at most."
    )
    uses: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=1,
        description="How often it is good for; a machine that enrols again uses it again.",
    )
    vmid_from: VmidRange | None = Field(default=None, description="With vmidTo: only these VMs.")
    vmid_to: VmidRange | None = None
    match_labels: Labels = Field(
        default={}, description="Only VMs whose VirtualMachine carries all of these labels."
    )

    @model_validator(mode="after")
    def _has_a_whole_range(self) -> Self:
        if (self.vmid_from is None) != (self.vmid_to is None):
            raise PydanticCustomError("rule", "needs both vmidFrom and vmidTo, or neither")
        if (
            self.vmid_from is not None
            and self.vmid_to is not None
            and self.vmid_from > self.vmid_to
        ):
            raise PydanticCustomError("rule", "has a vmidFrom that is above its vmidTo")
        return self

    @property
    def vmids(self) -> tuple[int, int] | None:
        """The range it is for."""
        if self.vmid_from is None or self.vmid_to is None:
            return None
        return self.vmid_from, self.vmid_to


class EnrolmentToken(ApiModel):
    """An enrolment token in force; the token itself is shown once, when it is made."""

    id: str
    name: str
    cluster: str
    vmid_from: int | None
    vmid_to: int | None
    match_labels: dict[str, str]
    uses: int = Field(description="How often it was used.")
    uses_most: int
    created_by: str
    created_at: Moment
    expires_at: Moment

    @classmethod
    def from_listed(cls, one: ListedEnrolmentToken) -> Self:
        """Show one."""
        return cls(
            id=enrolment_id_text(one.id),
            name=one.name,
            cluster=one.cluster,
            vmid_from=one.vmid_from,
            vmid_to=one.vmid_to,
            match_labels=dict(one.match_labels),
            uses=one.uses,
            uses_most=one.uses_most,
            created_by=one.created_by,
            created_at=one.created_at,
            expires_at=one.expires_at,
        )


class EnrolmentTokenMade(ApiModel):
    """A new enrolment token, shown this once."""

    success: Literal[True] = True
    message: str
    id: str
    token: str
    expires_at: Moment


class AgentToken(ApiModel):
    """A token that reports; the token itself is shown once, when it is made."""

    id: str
    kind: Literal["vm", "shared"] = Field(
        description="vm: of one VM alone. shared: reports for all VMs of its cluster."
    )
    name: str
    cluster: str
    vm_id: str | None
    vmid: str | None
    hostname: str | None
    smbios_uuid: str | None
    created_by: str | None
    created_at: Moment
    expires_at: Moment | None
    last_heartbeat: Moment | None = Field(description="The VM's last report, by whatever token.")

    @classmethod
    def from_listed(cls, one: ListedAgentToken) -> Self:
        """Show one."""
        return cls(
            id=api_token_id_text(one.id) if one.shared else agent_token_id_text(one.id),
            kind="shared" if one.shared else "vm",
            name=one.name,
            cluster=one.cluster,
            vm_id=None if one.vm_id is None else vm_id_text(one.vm_id),
            vmid=None if one.vmid is None else str(one.vmid),
            hostname=one.hostname,
            smbios_uuid=one.smbios_uuid,
            created_by=one.created_by,
            created_at=one.created_at,
            expires_at=one.expires_at,
            last_heartbeat=one.last_heartbeat,
        )


class RotateWish(ApiModel):
    """How a token is to be followed by the next."""

    model_config = ConfigDict(extra="forbid")

    grace_seconds: Annotated[int, Field(ge=0, le=7 * 24 * 3600)] = Field(
        default=3600, description="How long the old token goes on, for the new one to get there."
    )


class TokenRotated(ApiModel):
    """The VM's next token, shown this once."""

    success: Literal[True] = True
    message: str
    id: str
    token: str
    old_expires_at: Moment
