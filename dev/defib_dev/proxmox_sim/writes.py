"""The calls that do something: the power POSTs and the ping of the guest agent. Pure.

What Proxmox checks before it forks a worker is here; what the worker checks is in `power`.
"""

from defib_core.domain.actions import PowerStep
from defib_dev.proxmox_sim.call import ApiError, Call
from defib_dev.proxmox_sim.faults import PostFault
from defib_dev.proxmox_sim.power import Job, fork

ROOT_ONLY = frozenset({"skiplock", "nocheck", "migratedfrom"})
FOREIGN_VMID = 999_999_999


def power(call: Call, step: PowerStep) -> str:
    """Fork the worker of a power action and name its task."""
    fault = call.record.fault if call.record is not None else None
    if fault is PostFault.HTTP_500:
        raise ApiError(500, "got no worker upid - start worker failed")
    _refuse_root_only(call)
    if step in {PowerStep.RESET, PowerStep.RESUME}:
        _check_runs_here(call)
    if step is PowerStep.START and not call.dc.has_quorum:
        raise ApiError(500, "cluster not ready - no quorum?")
    if fault is not None and not fault.is_executed:
        return _foreign_upid(call, step)
    job = Job(step, call.node, call.vmid, call.caller.token_id, fault)
    upid = fork(call.dc, job).upid
    if call.record is not None:
        call.record.upid = upid
    return upid


def agent_ping(call: Call) -> dict[str, object]:
    """Ping the QEMU guest agent."""
    guest = call.dc.guest_on(call.node, call.vmid)
    if guest is None:
        path = f"nodes/{call.node}/qemu-server/{call.vmid}.conf"
        raise ApiError(500, f"Configuration file '{path}' does not exist")
    if not guest.agent:
        raise ApiError(500, "No QEMU guest agent configured")
    if guest.status != "running":
        raise ApiError(500, f"VM {guest.vmid} is not running")
    if not guest.machine.guest_agent_answers(call.now):
        raise ApiError(500, "QEMU guest agent is not running")
    return {"result": {}}


def _refuse_root_only(call: Call) -> None:
    """Refuse what only root@pam itself may ask for; a token never is."""
    asked = sorted(ROOT_ONLY & set(call.params))
    if asked:
        complaint = dict.fromkeys(asked, "Only root may use this option.")
        raise ApiError(400, "Parameter verification failed.", complaint)


def _check_runs_here(call: Call) -> None:
    guest = call.dc.guest_on(call.node, call.vmid)
    if guest is None:
        raise ApiError(
            500, f"unable to find configuration file for VM {call.vmid} on node '{call.node}'"
        )
    if guest.status != "running":
        raise ApiError(500, f"VM {guest.vmid} not running")


def _foreign_upid(call: Call, step: PowerStep) -> str:
    started = int(call.now.timestamp())
    name = f"qm{step.value}:{FOREIGN_VMID}:{call.caller.token_id}"
    return f"UPID:{call.node}:0000BEEF:0000BEEF:{started:08X}:{name}:"
