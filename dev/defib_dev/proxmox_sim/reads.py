"""The calls that only look. Shapes, absent keys and filters as Proxmox has them. Pure."""

from defib_dev.proxmox_sim.call import ApiError, Call
from defib_dev.proxmox_sim.faults import ApiMode
from defib_dev.proxmox_sim.guest import Guest
from defib_dev.proxmox_sim.model import Datacenter
from defib_dev.proxmox_sim.tasks import Task

VERSION = {"version": "9.2.11", "release": "9.2", "repoid": "14a22df"}
AUDIT = frozenset({"VM.Audit"})
SYSTEM = frozenset({"Sys.Audit"})
GIB = 1 << 30
DEFAULT_LIMIT = 50
Row = dict[str, object]


def version(_: Call) -> Row:
    """Say which Proxmox this is."""
    return dict(VERSION)


def permissions(call: Call) -> dict[str, dict[str, int]]:
    """Say what the caller may do."""
    return call.dc.access.listing(call.caller)


def resources(call: Call) -> list[Row]:
    """List the guests the caller may audit: no right, no row, and still 200."""
    dc = call.dc
    if dc.mode is ApiMode.EMPTY or call.params.get("type", "vm") != "vm":
        return []
    sees_all = dc.access.allows(call.caller, "/vms", AUDIT)
    return [
        _resource(dc, guest, call)
        for guest in sorted(dc.guests.values(), key=lambda one: one.vmid)
        if sees_all or dc.access.allows(call.caller, f"/vms/{guest.vmid}", AUDIT)
    ]


def nodes(call: Call) -> list[Row]:
    """List the nodes."""
    return [
        {
            "node": node.name,
            "id": f"node/{node.name}",
            "type": "node",
            "status": "online" if node.online else "offline",
            "ssl_fingerprint": ":".join(["00"] * 32),
        }
        for node in call.dc.nodes.values()
    ]


def cluster_status(call: Call) -> list[Row]:
    """Say whether the cluster has a quorum; a single node is in no cluster and has no such row."""
    dc = call.dc
    local = next((node.name for node in dc.nodes.values() if node.online), None)
    rows: list[Row] = [
        {
            "type": "node",
            "id": f"node/{node.name}",
            "name": node.name,
            "nodeid": number,
            "online": int(node.online),
            "local": int(node.name == local),
            "ip": f"192.0.2.{number}",
            "level": "",
        }
        for number, node in enumerate(dc.nodes.values(), start=1)
    ]
    if len(rows) == 1:
        return rows
    cluster: Row = {
        "type": "cluster",
        "id": "cluster",
        "name": dc.cluster_name,
        "nodes": len(rows),
        "quorate": int(dc.has_quorum),
        "version": 1,
    }
    return [cluster, *rows]


def guest_status(call: Call) -> Row:
    """Answer status/current: keys that do not apply are absent."""
    guest = _configured(call)
    since = guest.machine.process_since
    counters = guest.machine.counters(call.now)
    found: Row = {
        "vmid": guest.vmid,
        "name": guest.name,
        "status": guest.status,
        "qmpstatus": guest.qmpstatus,
        "uptime": 0 if since is None else int((call.now - since).total_seconds()),
        "cpus": 1,
        "maxmem": GIB,
        "maxdisk": 8 * GIB,
        "diskread": counters.disk_read,
        "diskwrite": counters.disk_write,
        "netin": counters.net_in,
        "netout": counters.net_out,
        "ha": _ha(guest),
    }
    return found | _where_set(guest) | ({"agent": 1} if guest.agent else {})


def guest_config(call: Call) -> Row:
    """Answer config."""
    guest = _configured(call)
    config: Row = {
        "name": guest.name,
        "cores": 1,
        "memory": "1024",
        "smbios1": f"uuid={guest.uuid}",
        "digest": "0" * 40,
    }
    if guest.agent:
        config["agent"] = "enabled=1"
    if not guest.reboot:
        config["reboot"] = 0
    if guest.confidential is not None:
        config[guest.confidential] = "type=snp" if guest.confidential == "amd-sev" else "type=tdx"
    if guest.args is not None:
        config["args"] = guest.args
    return config | _where_set(guest)


def tasks(call: Call) -> list[Row]:
    """List a node's tasks, newest first: one's own, or all with Sys.Audit.

    Only finished ones, unless `source` asks for more.
    """
    params = call.params
    source = params.get("source", "archive")
    found = [
        task
        for task in call.dc.tasks.on(call.node)
        if _may_see(call, task)
        if "vmid" not in params or task.task_id == params["vmid"]
        if "typefilter" not in params or task.task_type == params["typefilter"]
        if int(task.started.timestamp()) >= int(params.get("since", 0))
        if source == "all" or task.is_running == (source == "active")
    ]
    return [_task_row(task) for task in found[: int(params.get("limit", DEFAULT_LIMIT))]]


def task_status(call: Call) -> Row:
    """Say how a task is doing; `exitstatus` only once it has ended."""
    task = _task(call)
    shown = _task_head(task) | {"status": "running" if task.is_running else "stopped"}
    return shown if task.exitstatus is None else shown | {"exitstatus": task.exitstatus}


def task_log(call: Call) -> list[Row]:
    """Give a task's log."""
    start = int(call.params.get("start", 0))
    limit = int(call.params.get("limit", DEFAULT_LIMIT))
    lines = [{"n": n, "t": line} for n, line in enumerate(_task(call).log(), start=1)]
    return [dict(line) for line in lines[start : start + limit]]


def _resource(dc: Datacenter, guest: Guest, call: Call) -> Row:
    node = dc.nodes[guest.node]
    forgotten = (
        node.offline_since is not None and call.now - node.offline_since > dc.timing.forget_node
    )
    status = "unknown" if forgotten else guest.broadcast_status(call.now, dc.timing.broadcast_lag)
    shown: Row = {
        "id": f"{guest.kind}/{guest.vmid}",
        "type": guest.kind.value,
        "vmid": guest.vmid,
        "node": guest.node,
        "name": guest.name,
        "status": status,
        "template": int(guest.template),
    }
    if guest.lock is not None:
        shown["lock"] = guest.lock
    if guest.ha is not None:
        shown["hastate"] = guest.ha
    return shown


def _configured(call: Call) -> Guest:
    guest = call.dc.guest_on(call.node, call.vmid)
    if guest is None:
        path = f"nodes/{call.node}/qemu-server/{call.vmid}.conf"
        raise ApiError(500, f"Configuration file '{path}' does not exist")
    return guest


def _where_set(guest: Guest) -> Row:
    shown: Row = {}
    if guest.lock is not None:
        shown["lock"] = guest.lock
    if guest.template:
        shown["template"] = 1
    return shown


def _ha(guest: Guest) -> Row:
    return {"managed": 0} if guest.ha is None else {"managed": 1, "state": guest.ha}


def _may_see(call: Call, task: Task) -> bool:
    own = task.user == call.caller.token_id
    return own or call.dc.access.allows(call.caller, f"/nodes/{call.node}", SYSTEM)


def _task(call: Call) -> Task:
    upid = call.path["upid"]
    if not upid.startswith("UPID:") or upid.count(":") != 8:  # noqa: PLR2004 - nine fields
        raise ApiError(
            400, "Parameter verification failed.", {"upid": "unable to parse worker upid"}
        )
    task = call.dc.tasks.find(call.node, upid)
    if task is None:
        raise ApiError(400, "Parameter verification failed.", {"upid": "no such task"})
    if not _may_see(call, task):
        raise ApiError(403, f"Permission check failed (/nodes/{call.node}, Sys.Audit)")
    return task


def _task_head(task: Task) -> Row:
    user, _, token = task.user.partition("!")
    head: Row = {
        "upid": task.upid,
        "node": task.node,
        "pid": task.pid,
        "pstart": task.pstart,
        "starttime": int(task.started.timestamp()),
        "type": task.task_type,
        "id": task.task_id,
        "user": user,
    }
    return head | ({"tokenid": token} if token else {})


def _task_row(task: Task) -> Row:
    row = _task_head(task)
    if task.ended is None:
        return row | {"status": "RUNNING"}
    return row | {"endtime": int(task.ended.timestamp()), "status": task.exitstatus}
