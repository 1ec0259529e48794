"""Exchanges an enrolment token for a token of the one machine that shows it.

Everything is judged and written in one transaction, under a lock of the cluster: two machines that
ask for the same VM come one after the other. What is refused is a value, with the words for the
person who reads the agent's log.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.actions import Source
from defib_core.domain.decide import is_same_uuid
from defib_core.store import registry
from defib_core.store.agent_tokens import NewAgentToken, add_agent_token
from defib_core.store.audit import Deed, Who, audit
from defib_core.store.registry import ReportedIdentity
from defib_core.store.tokens import digest

REPORTS_NOW = 3
"""A VM whose last report is less than this many intervals old reports now."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a machine that enrols says of itself."""

    hostname: str
    vmid: int | None
    smbios_uuid: str | None
    node: str | None
    agent_version: str | None


@dataclass(frozen=True, slots=True)
class Enrolled:
    """The token, shown once, and whose it is. `vm_id` is None until Proxmox shows which VM."""

    token: str
    token_id: int
    vm_id: int | None
    vmid: int | None
    node: str | None
    cluster: str
    report_interval_seconds: int


class Refusal(Enum):
    """Why a machine got no token."""

    UNKNOWN = "the enrolment token is unknown, revoked, expired or used up"
    OUTSIDE = "the enrolment token does not reach this VM, or this is not that VM"
    TAKEN = "another machine reports as this VM now"
    NOT_FOUND_YET = "nobody knows yet which VM this is"


@dataclass(frozen=True, slots=True)
class NotEnrolled:
    """A refusal, and the words for who asked."""

    refusal: Refusal
    message: str


class _Refused(Exception):
    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.answer = NotEnrolled(refusal, message)


LOCK = text("SELECT pg_advisory_xact_lock(hashtext('defib enrolment'), :cluster_id)")
FIND = text("""
SELECT t.id, t.name, t.cluster_id, t.vmid_from, t.vmid_to, t.match_labels, t.uses, t.uses_most,
    t.expires_at, t.revoked_at, c.name AS cluster,
    (s.spec ->> 'reportIntervalSeconds')::int AS interval_seconds
FROM enrolment_token t JOIN proxmox_cluster c ON c.id = t.cluster_id
LEFT JOIN system_config s ON s.namespace = c.namespace AND s.name = 'default'
WHERE t.sha256 = :sha256 FOR UPDATE OF t
""")
VM = text("""
SELECT id, hostname, node, pinned_uuid::text AS pinned_uuid,
    labels @> CAST(:labels AS jsonb) AS labelled
FROM vm WHERE cluster_id = :cluster_id AND vmid = :vmid
""")
HOLDERS = text("""
SELECT t.id, t.vm_id, t.smbios_uuid::text AS smbios_uuid, v.vmid, s.last_heartbeat
FROM agent_token t LEFT JOIN vm v ON v.id = t.vm_id LEFT JOIN vm_state s ON s.vm_id = t.vm_id
WHERE t.revoked_at IS NULL AND t.expires_at IS NULL AND t.cluster_id = :cluster_id
  AND (t.vm_id = :vm_id OR t.smbios_uuid = CAST(:smbios_uuid AS uuid))
""")
REPLACE = text("""
UPDATE agent_token SET revoked_at = :now, revoked_by = :by WHERE id = ANY(:ids)
""")
USE = text("UPDATE enrolment_token SET uses = uses + 1 WHERE id = :id")


async def enrol(
    connection: AsyncConnection, token: str, machine: Machine, now: datetime
) -> Enrolled | NotEnrolled:
    """Give a machine a token of its own; the transaction is the caller's to commit.

    Raises NotRegistrable where the cluster's namespace has no SystemConfig named default.
    """
    try:
        found = await _token(connection, token, now)
        await connection.execute(LOCK, {"cluster_id": found.cluster_id})
        vmid = await _vmid(connection, found, machine)
        interval = timedelta(seconds=found.interval_seconds or 30)
        async with connection.begin_nested():  # who is refused changes nothing
            vm_id = None if vmid is None else await _vm(connection, found, machine, vmid)
            await _replace(connection, found, machine, vm_id, now - REPORTS_NOW * interval, now)
    except _Refused as refused:
        return refused.answer
    who = Who(f"enrolment token {found.name}", Source.API)
    wanted = NewAgentToken(
        found.cluster_id, vm_id, machine.smbios_uuid, machine.hostname, who.actor, found.id
    )
    token_id, secret = await add_agent_token(connection, wanted)
    await connection.execute(USE, {"id": found.id})
    detail = {"hostname": machine.hostname, "smbiosUuid": machine.smbios_uuid, "token": token_id}
    await audit(connection, who, Deed.ENROL, now, vm_id, detail)
    return Enrolled(
        token=secret,
        token_id=token_id,
        vm_id=vm_id,
        vmid=vmid,
        node=machine.node,
        cluster=found.cluster,
        report_interval_seconds=int(interval.total_seconds()),
    )


async def _token(connection: AsyncConnection, token: str, now: datetime) -> Row[Any]:
    found = (await connection.execute(FIND, {"sha256": digest(token)})).one_or_none()
    if found is None:
        raise _Refused(Refusal.UNKNOWN, "the enrolment token is not known")
    wrong = None
    if found.revoked_at is not None:
        wrong = "was revoked"
    elif found.expires_at <= now:
        wrong = "has expired"
    elif found.uses >= found.uses_most:
        wrong = f"is used up: it was for {found.uses_most} uses"
    if wrong is not None:
        again = "make another with `defib enrolment create`"
        raise _Refused(Refusal.UNKNOWN, f"the enrolment token {found.name} {wrong}; {again}")
    return found


async def _vmid(connection: AsyncConnection, found: Row[Any], machine: Machine) -> int | None:
    """Say which VM it is, within the token's range; None where only Proxmox can tell."""
    vmid = machine.vmid
    if vmid is None and machine.smbios_uuid is not None:
        known = await registry.vmids_of_uuid(connection, found.cluster_id, machine.smbios_uuid)
        vmid = known[0] if len(known) == 1 else None
    if vmid is None:
        assert machine.smbios_uuid is not None, "the schema asks for one of them"
        await registry.seek(connection, found.cluster_id, machine.smbios_uuid, machine.hostname)
        if found.vmid_from is not None or found.match_labels:
            message = (
                f"the enrolment token {found.name} reaches certain VMs only, and which VM this is"
                " is being looked up in Proxmox; try again, or give its vmid"
            )
            raise _Refused(Refusal.NOT_FOUND_YET, message)
        return None
    if found.vmid_from is not None and not found.vmid_from <= vmid <= found.vmid_to:
        reach = f"VMs {found.vmid_from} to {found.vmid_to}"
        raise _Refused(
            Refusal.OUTSIDE, f"the enrolment token {found.name} is for {reach}, not for VM {vmid}"
        )
    return vmid


def _is_another(machine: Machine, pinned_uuid: str | None) -> bool:
    """Whoever says no UUID may be anybody, where Proxmox has one."""
    if pinned_uuid is None:
        return False
    return machine.smbios_uuid is None or not is_same_uuid(pinned_uuid, machine.smbios_uuid)


async def _vm(connection: AsyncConnection, found: Row[Any], machine: Machine, vmid: int) -> int:
    """Find or create the VM, unless it is known to be another one."""
    bound: Mapping[str, Any] = {"cluster_id": found.cluster_id, "vmid": vmid}
    labels = json.dumps(found.match_labels)
    vm = (await connection.execute(VM, {**bound, "labels": labels})).one_or_none()
    if found.match_labels and (vm is None or not vm.labelled):
        wanted = ", ".join(f"{key}={value}" for key, value in found.match_labels.items())
        message = f"the enrolment token {found.name} is for VMs labelled {wanted}; VM {vmid} is not"
        raise _Refused(Refusal.OUTSIDE, message)
    if vm is not None and _is_another(machine, vm.pinned_uuid):
        # Proxmox's UUID is not told: whoever knew it could say it.
        said_uuid = machine.smbios_uuid or "none"
        message = (
            f"VM {vmid} ({vm.hostname}) has another SMBIOS UUID in Proxmox than this machine says"
            f" ({said_uuid}): the vmid in the agent's configuration is that of another VM, or the"
            " agent cannot read the UUID; enrol as root"
        )
        raise _Refused(Refusal.OUTSIDE, message)
    said = ReportedIdentity(
        cluster_id=found.cluster_id,
        vmid=vmid,
        hostname=machine.hostname,
        node=machine.node,
        smbios_uuid=machine.smbios_uuid,
        agent_version=machine.agent_version,
    )
    return await registry.find_or_create(connection, said)


async def _replace(  # noqa: PLR0917 - one step of the exchange
    connection: AsyncConnection,
    found: Row[Any],
    machine: Machine,
    vm_id: int | None,
    since: datetime,
    now: datetime,
) -> None:
    """Revoke what the machine had before; refuse where another one uses it."""
    bound = {
        "cluster_id": found.cluster_id,
        "vm_id": vm_id,
        "smbios_uuid": machine.smbios_uuid,
    }
    holders = (await connection.execute(HOLDERS, bound)).all()
    for one in holders:
        same_machine = one.smbios_uuid is not None and one.smbios_uuid == machine.smbios_uuid
        same_vm = vm_id is None or one.vm_id is None or one.vm_id == vm_id
        reports = one.last_heartbeat is not None and one.last_heartbeat > since
        if reports and not (same_machine and same_vm):
            message = (
                f"VM {one.vmid} holds a token, and a machine reports with it now; if that is this"
                " one, or gone for good, have an administrator revoke it:"
                f" defib token revoke agent_token_{one.id}"
            )
            raise _Refused(Refusal.TAKEN, message)
    by = f"enrolment token {found.name}"
    await connection.execute(REPLACE, {"ids": [one.id for one in holders], "by": by, "now": now})
