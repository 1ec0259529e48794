"""The simulated API as one function: a request in, an answer out. Pure; time comes in as `now`."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from defib_core.domain.actions import PowerStep
from defib_dev.proxmox_sim import reads, writes
from defib_dev.proxmox_sim.call import (
    Answer,
    ApiError,
    Call,
    Check,
    Fate,
    Request,
    Route,
    anything,
    apply_mode,
    check,
    find_route,
    one_of,
    route,
    truth,
    whole_number,
)
from defib_dev.proxmox_sim.faults import ApiMode, PostFault, PostRecord
from defib_dev.proxmox_sim.model import Datacenter

GATEWAY_CODES = range(595, 600)
QEMU = "nodes/{node}/qemu/{vmid}"
PAGE = "<html><body><h1>It works!</h1></body></html>"
FATES = {
    PostFault.TIMEOUT_EXECUTED: Fate.HANG,
    PostFault.TIMEOUT_NOT_EXECUTED: Fate.HANG,
    PostFault.DROPPED: Fate.DROP,
    PostFault.DROPPED_NOT_EXECUTED: Fate.DROP,
}
POWER_PARAMS: dict[PowerStep, Mapping[str, Check]] = {
    PowerStep.RESET: {"skiplock": truth},
    PowerStep.STOP: {
        "skiplock": truth,
        "timeout": whole_number,
        "overrule-shutdown": truth,
        "keepActive": truth,
        "migratedfrom": anything,
    },
    PowerStep.START: {"skiplock": truth, "timeout": whole_number, "migratedfrom": anything},
    PowerStep.RESUME: {"skiplock": truth, "nocheck": truth},
}
TASK_LIST_PARAMS: Mapping[str, Check] = {
    "vmid": whole_number,
    "typefilter": anything,
    "since": whole_number,
    "until": whole_number,
    "limit": whole_number,
    "start": whole_number,
    "source": one_of("archive", "active", "all"),
}


def _power_route(step: PowerStep) -> Route:
    return route(
        "POST",
        f"{QEMU}/status/{step.value}",
        partial(writes.power, step=step),
        privileges=frozenset({"VM.PowerMgmt"}),
        on="/vms/{vmid}",
        params=POWER_PARAMS[step],
        power=step,
    )


ROUTES: tuple[Route, ...] = (
    route("GET", "version", reads.version),
    route("GET", "access/permissions", reads.permissions),
    route(
        "GET",
        "cluster/resources",
        reads.resources,
        params={"type": one_of("vm", "storage", "node", "sdn")},
    ),
    route("GET", "cluster/status", reads.cluster_status, privileges=reads.SYSTEM),
    route("GET", "nodes", reads.nodes),
    route(
        "GET",
        f"{QEMU}/status/current",
        reads.guest_status,
        privileges=reads.AUDIT,
        on="/vms/{vmid}",
    ),
    route(
        "GET",
        f"{QEMU}/config",
        reads.guest_config,
        privileges=reads.AUDIT,
        on="/vms/{vmid}",
        params={"current": truth, "snapshot": anything},
    ),
    route(
        "POST",
        f"{QEMU}/agent/ping",
        writes.agent_ping,
        privileges=frozenset({"VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted"}),
        on="/vms/{vmid}",
    ),
    *(_power_route(step) for step in PowerStep),
    route("GET", "nodes/{node}/tasks", reads.tasks, params=TASK_LIST_PARAMS),
    route("GET", "nodes/{node}/tasks/{upid}/status", reads.task_status),
    route(
        "GET",
        "nodes/{node}/tasks/{upid}/log",
        reads.task_log,
        params={"start": whole_number, "limit": whole_number},
    ),
)


def handle(dc: Datacenter, request: Request, now: datetime) -> Answer:
    """Answer one request, as the cluster stands at this moment."""
    dc.advance(now)
    apply_mode(dc)
    if dc.mode is ApiMode.UNREACHABLE:
        return Answer(fate=Fate.NO_CONNECTION)
    caller = dc.access.authenticate(request.authorization)
    if caller is None:
        return Answer(status=401, reason="no such token or wrong secret")
    record = None
    try:
        found, path = find_route(ROUTES, request)
        record = _recorded(dc, found, path, now)
        call = Call(dc, caller, now, path, request.params, record)
        check(dc, found, call)
        answer = Answer(body={"data": found.answer(call)})
    except ApiError as error:
        if record is not None:
            record.refused = error.reason
        answer = _refusal(error)
    return _spoilt(answer, record)


def _recorded(
    dc: Datacenter, found: Route, path: Mapping[str, str], now: datetime
) -> PostRecord | None:
    """Write down every power POST, and which fault is its lot."""
    if found.power is None or not path["vmid"].isdecimal():
        return None
    record = PostRecord(now, int(path["vmid"]), found.power.value, path["node"])
    record.fault = dc.next_posts.popleft() if dc.next_posts else None
    dc.posts.append(record)
    return record


def _spoilt(answer: Answer, record: PostRecord | None) -> Answer:
    """Let a fault come between the answer and the caller."""
    fault = record.fault if record is not None else None
    if fault is PostFault.HTML_200:
        return Answer(body=PAGE)
    if fault in FATES:
        return Answer(fate=FATES[fault])
    return answer


def _refusal(error: ApiError) -> Answer:
    if error.status in GATEWAY_CODES:
        return Answer(status=error.status, reason=error.reason)
    body: dict[str, object] = {"data": None, "message": f"{error.reason}\n"}
    if error.fields is not None:
        body["errors"] = dict(error.fields)
    return Answer(status=error.status, reason=error.reason, body=body)
