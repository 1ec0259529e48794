"""Which VM a report is from: what its token says, and what the report says, held together.

A token of a single VM reports for that VM alone. A shared key takes the report's word, within its
cluster. Where a report names no vmid, its SMBIOS UUID is looked up; the first report of a machine
that nobody knows yet is sent again, while the operator looks for it in Proxmox.
"""

from defib_api.answers import Answer, failure
from defib_api.ingest import answers
from defib_api.ingest.explain import FieldError
from defib_api.ingest.registered import Registered
from defib_api.ingest.report import Report, uuid_of
from defib_core.domain.decide import is_same_uuid
from defib_core.store.registry import ReportedIdentity
from defib_core.store.tokens import BoundTo, KnownToken


class Refused(Exception):
    """The report is answered with something other than a 200."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def row_at_once(known: Registered, token: KnownToken, report: Report) -> int | None:
    """Find the row of a report that says nothing new, as nearly all do; None: the long way.

    Raises Refused.
    """
    vmid, uuid, node = _said(token, report)
    return None if vmid is None else known.known_id_of(_identity(token, report, vmid, uuid, node))


async def identity_of(known: Registered, token: KnownToken, report: Report) -> ReportedIdentity:
    """Say which VM a report is from; raise Refused."""
    assert token.cluster_id is not None
    vmid, uuid, node = _said(token, report)
    if vmid is None:
        find = _looked_up if token.bound is None else _proven
        vmid = await find(known, token.cluster_id, uuid, report)
    return _identity(token, report, vmid, uuid, node)


def _said(token: KnownToken, report: Report) -> tuple[int | None, str | None, str | None]:
    """Say vmid, SMBIOS UUID and node by token and report; the vmid is None where it is sought.

    Raises Refused where the two contradict each other.
    """
    bound, uuid, node = token.bound, uuid_of(report), report.node or None
    vmid = None if report.vmid is None else int(report.vmid)
    if bound is None:
        return vmid, uuid, node
    wrong = contradiction(bound, vmid, uuid)
    if wrong is not None:
        raise Refused(failure(403, wrong))
    return bound.vmid, uuid or bound.smbios_uuid, node or bound.node


def _identity(
    token: KnownToken, report: Report, vmid: int, uuid: str | None, node: str | None
) -> ReportedIdentity:
    assert token.cluster_id is not None
    return ReportedIdentity(
        cluster_id=token.cluster_id,
        vmid=vmid,
        hostname=report.hostname,
        node=node,
        smbios_uuid=uuid,
        agent_version=report.agent_version,
    )


def contradiction(bound: BoundTo, vmid: int | None, uuid: str | None) -> str | None:
    """Say how a report is not from the VM its token is of; None where it may be."""
    mine = bound.smbios_uuid
    if vmid is not None and bound.vmid is not None and vmid != bound.vmid:
        return (
            f"this token belongs to VM {bound.vmid} ({bound.hostname}), and the report is for VM"
            f" {vmid}: a token reports for its own VM only; enrol this machine, or mend the vmid in"
            " the agent's configuration"
        )
    if uuid is not None and mine is not None and not is_same_uuid(mine, uuid):
        whose = bound.hostname if bound.vmid is None else f"VM {bound.vmid} ({bound.hostname})"
        return (
            f"this token belongs to {whose} with SMBIOS UUID {mine}, and the report is from a"
            f" machine with {uuid}: is it a copy? Delete its token, and enrol it by itself"
        )
    return None


async def _proven(known: Registered, cluster_id: int, uuid: str | None, report: Report) -> int:
    """Find the VM of a token that was given to an SMBIOS UUID: only Proxmox's word counts."""
    vmid = await _looked_up(known, cluster_id, uuid, report)
    if report.vmid is not None and int(report.vmid) != vmid:
        raise Refused(
            failure(
                403,
                f"the machine with this token's SMBIOS UUID is VM {vmid} in Proxmox, and the report"
                f" is for VM {int(report.vmid)}; mend the vmid in the agent's configuration",
            )
        )
    return vmid


async def _looked_up(known: Registered, cluster_id: int, uuid: str | None, report: Report) -> int:
    if uuid is None:
        raise Refused(answers.invalid([FieldError("vmid", answers.NO_VMID_NO_UUID)]))
    vmids = await known.vmids_of(cluster_id, uuid, report.hostname)
    if not vmids:
        raise Refused(answers.NOT_FOUND_YET)
    if len(vmids) > 1:
        raise Refused(answers.invalid([FieldError("vmid", answers.several_vmids(vmids))]))
    return vmids[0]
