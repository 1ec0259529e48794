"""What the workers behind the power POSTs do. Pure; works on the model, knows no HTTP.

The order is Proxmox's: the lock file, the configuration, its lock, then QEMU. All of it happens
in the task, after the 200. Stop and start of an HA-managed VM only queue a wish.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from defib_core.domain.actions import PowerStep
from defib_dev.proxmox_sim.faults import PostFault
from defib_dev.proxmox_sim.guest import Guest
from defib_dev.proxmox_sim.machine import MachineError, Power
from defib_dev.proxmox_sim.model import Datacenter
from defib_dev.proxmox_sim.tasks import OK, UNEXPECTED, Task

BACKUP = "backup"
HA_ERROR = "error"


class WorkerError(Exception):
    """The worker dies with this text."""


@dataclass(frozen=True, slots=True)
class Job:
    """One worker's errand."""

    step: PowerStep
    node: str
    vmid: int
    user: str
    fault: PostFault | None = None


def fork(dc: Datacenter, job: Job) -> Task:
    """Fork the worker for a POST that passed every check made in HTTP."""
    guest = dc.guests.get(job.vmid)
    by_ha = guest is not None and guest.is_ha_managed and job.step in HA_STATES
    task_type = ("ha" if by_ha else "qm") + job.step.value
    task = dc.begin_task(node=job.node, task_type=task_type, vmid=job.vmid, user=job.user)
    work = _ask_ha if by_ha else _do
    if job.fault is PostFault.TASK_ERROR:
        _schedule_end(
            dc, task, f"VM {job.vmid} qmp command '{job.step.value}' failed - got timeout"
        )
    elif job.fault is PostFault.TASK_KILLED:
        _schedule_end(dc, task, UNEXPECTED)
    elif job.fault is not PostFault.TASK_HANGS:
        _take_flock(dc, job, task, lambda at: work(dc, job, at))
    return task


def _take_flock(dc: Datacenter, job: Job, task: Task, work: Callable[[datetime], None]) -> None:
    """Wait for the lock file as Proxmox does: behind others, but not for long."""
    guest = dc.guests.get(job.vmid)
    free_at = max(dc.now, guest.flock_free_at) if guest is not None else dc.now
    if free_at - dc.now > dc.timing.flock_patience:
        path = f"/var/lock/qemu-server/lock-{job.vmid}.conf"
        give_up = dc.now + dc.timing.flock_patience
        dc.at(give_up, lambda at: dc.tasks.end(task, f"can't lock file '{path}' - got timeout", at))
        return
    done_at = free_at + dc.timing.task
    if guest is not None:
        guest.flock_free_at = done_at
    dc.at(done_at, lambda at: _finish(dc, job, task, work, at))


def _finish(
    dc: Datacenter, job: Job, task: Task, work: Callable[[datetime], None], at: datetime
) -> None:
    if not task.is_running:
        return  # its node went away meanwhile
    try:
        work(at)
    except WorkerError as error:
        dc.tasks.end(task, str(error), at)
    except MachineError as error:
        dc.tasks.end(task, f"VM {job.vmid} {error}", at)
    else:
        warned = job.fault is PostFault.TASK_WARNINGS
        dc.tasks.end(task, "WARNINGS: 1" if warned else OK, at)


def _schedule_end(dc: Datacenter, task: Task, exitstatus: str) -> None:
    dc.at(dc.now + dc.timing.task, lambda at: dc.tasks.end(task, exitstatus, at))


def _do(dc: Datacenter, job: Job, at: datetime) -> None:
    guest = dc.guest_on(job.node, job.vmid)
    if guest is None:
        path = f"nodes/{job.node}/qemu-server/{job.vmid}.conf"
        raise WorkerError(f"Configuration file '{path}' does not exist")
    WORK[job.step](guest, at)
    guest.note_status(at)
    if job.step is PowerStep.RESET and guest.status == "stopped" and guest.is_ha_managed:
        dc.at(at + dc.timing.ha_delay, lambda later: _ha_act(dc, job.vmid, PowerStep.START, later))


def _reset(guest: Guest, at: datetime) -> None:
    _check_lock(guest)
    _check_running(guest)
    guest.machine.reset(at)


def _stop(guest: Guest, at: datetime) -> None:
    _check_lock(guest)
    if guest.status == "running":
        guest.machine.stop(at)


def _start(guest: Guest, at: datetime) -> None:
    if guest.lock == BACKUP and guest.machine.power is Power.PRELAUNCH:
        guest.machine.resume(at)  # the backup's own QEMU becomes the VM's
        return
    _check_lock(guest)
    if guest.template:
        raise WorkerError("you can't start a vm if it's a template")
    if guest.status == "running":
        raise WorkerError(f"VM {guest.vmid} already running")
    guest.machine.start(at)


def _resume(guest: Guest, at: datetime) -> None:
    if guest.lock != BACKUP:
        _check_lock(guest)
    _check_running(guest)
    guest.machine.resume(at)


def _check_lock(guest: Guest) -> None:
    if guest.lock is not None:
        raise WorkerError(f"VM is locked ({guest.lock})")


def _check_running(guest: Guest) -> None:
    if guest.status != "running":
        raise WorkerError(f"VM {guest.vmid} not running")


def _ask_ha(dc: Datacenter, job: Job, at: datetime) -> None:
    """Queue the wish; the resource manager acts later."""
    if not dc.has_quorum:
        raise WorkerError("cfs-lock 'domain-ha' error: no quorum!")
    dc.at(at + dc.timing.ha_delay, lambda later: _ha_act(dc, job.vmid, job.step, later))


def _ha_act(dc: Datacenter, vmid: int, step: PowerStep, at: datetime) -> None:
    guest = dc.guests.get(vmid)
    if guest is None or guest.ha == HA_ERROR or not dc.nodes[guest.node].online:
        return
    if step is PowerStep.STOP and guest.status == "running":
        guest.machine.stop(at)
    elif step is PowerStep.START and guest.status == "stopped":
        guest.machine.start(at)
    guest.ha = HA_STATES[step]
    guest.note_status(at)


WORK: dict[PowerStep, Callable[[Guest, datetime], None]] = {
    PowerStep.RESET: _reset,
    PowerStep.STOP: _stop,
    PowerStep.START: _start,
    PowerStep.RESUME: _resume,
}
HA_STATES = {PowerStep.STOP: "stopped", PowerStep.START: "started"}
