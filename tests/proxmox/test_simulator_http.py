"""The simulated API as any HTTP client sees it: reason phrases, bodies, delays, connections."""

import ssl
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from defib_dev.proxmox_sim.model import Datacenter
from support.proxmox import SECRET, TOKEN_ID, RunningSimulator

WEB = "/api2/json/nodes/pve1/qemu/100"


@pytest.fixture
async def http(simulator: RunningSimulator) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client with the full-rights token; VM 100 runs on pve1."""
    simulator.guest()
    context = ssl.create_default_context(cadata=simulator.authority.pem)
    async with httpx.AsyncClient(
        base_url=simulator.simulator.api_url,
        verify=context,
        trust_env=False,
        headers={"Authorization": f"PVEAPIToken={TOKEN_ID}={SECRET}"},
    ) as client:
        yield client


@pytest.fixture
def dc(simulator: RunningSimulator) -> Datacenter:
    return simulator.dc


async def test_an_error_is_in_the_reason_phrase_and_the_body_and_closes_the_connection(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.get("/api2/json/nodes/pve2/qemu/100/config")
    text = "Configuration file 'nodes/pve2/qemu-server/100.conf' does not exist"
    assert (answer.status_code, answer.reason_phrase) == (500, text)
    assert answer.json() == {"data": None, "message": f"{text}\n"}
    assert answer.headers["Connection"] == "close"
    assert "Connection" not in (await http.get("/api2/json/version")).headers


async def test_a_401_comes_late_and_empty(
    simulator: RunningSimulator, http: httpx.AsyncClient
) -> None:
    simulator.simulator._face._unauthorized_delay = timedelta(milliseconds=200)
    began = time.monotonic()
    answer = await http.get("/api2/json/version", headers={"Authorization": "PVEAPIToken=x=y"})
    assert time.monotonic() - began >= 0.2
    assert (answer.status_code, answer.content) == (401, b"")
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "nodes/pve1/lxc/100/status/reset"),
        ("GET", "nodes/pve1/qemu/100/status/reset"),
        ("POST", "nodes/pve1/qemu/100/status/explode"),
        ("GET", "nothing"),
    ],
)
async def test_a_call_that_there_is_not_is_a_501(
    http: httpx.AsyncClient, method: str, path: str
) -> None:
    answer = await http.request(method, f"/api2/json/{path}")
    assert answer.status_code == 501
    assert answer.reason_phrase == f"Method '{method} /{path}' not implemented"


async def test_a_parameter_that_is_not_in_the_schema_is_a_400(
    http: httpx.AsyncClient, dc: Datacenter
) -> None:
    answer = await http.post(f"{WEB}/status/reset", data={"timeout": "5"})
    assert (answer.status_code, answer.reason_phrase) == (400, "Parameter verification failed.")
    assert "not defined in schema" in answer.json()["errors"]["timeout"]
    assert (await http.post(f"{WEB}/status/reset", json={"timeout": 5})).status_code == 400
    assert (await http.post(f"{WEB}/status/stop", data={"timeout": "5"})).status_code == 200
    assert (await http.post(f"{WEB}/status/stop", data={"timeout": "soon"})).status_code == 400
    assert [post.refused is None for post in dc.posts] == [False, False, True, False]


async def test_skiplock_is_for_root_alone_and_a_token_is_never_root(
    http: httpx.AsyncClient,
) -> None:
    answer = await http.post(f"{WEB}/status/reset", data={"skiplock": "1"})
    assert answer.status_code == 400
    assert answer.json()["errors"] == {"skiplock": "Only root may use this option."}


async def test_a_node_that_is_away_is_a_595_without_a_body(
    http: httpx.AsyncClient, dc: Datacenter
) -> None:
    dc.set_online("pve1", online=False, now=datetime.now(UTC))
    answer = await http.get(f"{WEB}/status/current")
    assert (answer.status_code, answer.reason_phrase) == (595, "No route to host")
    assert answer.content == b""


async def test_rights_are_checked_before_node_and_vm(
    http: httpx.AsyncClient, dc: Datacenter
) -> None:
    dc.access.revoke(TOKEN_ID)
    for path in ("nodes/pve1/qemu/999/config", "nodes/pve9/qemu/100/config"):
        answer = await http.get(f"/api2/json/{path}")
        assert answer.status_code == 403
        vmid = path.split("/")[3]
        assert answer.reason_phrase == f"Permission check failed (/vms/{vmid}, VM.Audit)"


async def test_a_bad_vmid_is_a_400(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api2/json/nodes/pve1/qemu/12/config")
    assert answer.status_code == 400
    assert "vmid" in answer.json()["errors"]


@pytest.mark.parametrize(
    ("upid", "text"),
    [
        ("rubbish", "unable to parse worker upid"),
        (f"UPID:pve1:0000BEEF:0000BEEF:65000000:qmreset:100:{TOKEN_ID}:", "no such task"),
    ],
)
async def test_a_task_that_is_none_is_a_400(http: httpx.AsyncClient, upid: str, text: str) -> None:
    answer = await http.get(f"/api2/json/nodes/pve1/tasks/{upid}/status")
    assert answer.status_code == 400
    assert answer.json()["errors"] == {"upid": text}


async def test_the_list_of_tasks_shows_finished_ones_unless_asked(
    http: httpx.AsyncClient, dc: Datacenter
) -> None:
    dc.timing.task = timedelta(hours=1)
    upid = (await http.post(f"{WEB}/status/reset")).json()["data"]

    async def listed(source: str | None) -> list[dict[str, object]]:
        params = {"source": source} if source else {}
        answer = await http.get("/api2/json/nodes/pve1/tasks", params=params)
        rows: list[dict[str, object]] = answer.json()["data"]
        return rows

    assert await listed(None) == []
    (row,) = await listed("all")
    assert row == (await listed("active"))[0]
    assert (row["upid"], row["status"], row["type"], row["id"]) == (
        upid,
        "RUNNING",
        "qmreset",
        "100",
    )
    assert (row["user"], row["tokenid"]) == tuple(TOKEN_ID.split("!"))


async def test_anothers_task_is_hidden_without_sys_audit(
    http: httpx.AsyncClient, dc: Datacenter
) -> None:
    dc.advance(datetime.now(UTC))
    upid = dc.begin_task(node="pve1", task_type="vzdump", vmid=100, user="root@pam").upid
    tasks = "/api2/json/nodes/pve1/tasks"
    assert len((await http.get(tasks, params={"source": "all"})).json()["data"]) == 1
    dc.access.grant("/", TOKEN_ID, {"VM.Audit", "VM.PowerMgmt"})
    assert (await http.get(tasks, params={"source": "all"})).json()["data"] == []
    assert (await http.get(f"{tasks}/{upid}/status")).status_code == 403


async def test_the_list_lags_and_a_dead_nodes_guests_turn_unknown(
    http: httpx.AsyncClient, dc: Datacenter
) -> None:
    async def status() -> object:
        answer = await http.get("/api2/json/cluster/resources", params={"type": "vm"})
        return answer.json()["data"][0]["status"]

    dc.timing.broadcast_lag = timedelta(hours=1)
    guest = dc.guest(100)
    guest.machine.stop(datetime.now(UTC))
    guest.note_status(datetime.now(UTC))
    assert await status() == "running"
    dc.timing.broadcast_lag = timedelta(0)
    assert await status() == "stopped"
    guest.machine.start(datetime.now(UTC))
    guest.note_status(datetime.now(UTC))
    dc.set_online("pve1", online=False, now=datetime.now(UTC))
    assert await status() == "running"
    dc.timing.forget_node = timedelta(0)
    assert await status() == "unknown"


async def test_a_single_node_has_no_cluster_row(http: httpx.AsyncClient, dc: Datacenter) -> None:
    async def types() -> list[str]:
        rows = (await http.get("/api2/json/cluster/status")).json()["data"]
        return [row["type"] for row in rows]

    assert await types() == ["cluster", "node", "node"]
    del dc.nodes["pve2"]
    assert await types() == ["node"]


async def test_optional_keys_are_absent(http: httpx.AsyncClient) -> None:
    status = (await http.get(f"{WEB}/status/current")).json()["data"]
    config = (await http.get(f"{WEB}/config")).json()["data"]
    assert {"lock", "template"}.isdisjoint(status)
    assert {"lock", "template", "reboot", "args", "amd-sev"}.isdisjoint(config)
    assert status["ha"] == {"managed": 0}
