"""The simulator's control interface, its inventory file, and the command that runs it."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from defib_core.domain.actions import PowerStep
from defib_dev.components.certificates import Authority
from defib_dev.proxmox_sim.inventory import build_datacenter, load_inventory
from defib_dev.proxmox_sim.model import ModelError
from defib_operator.proxmox import (
    Accepted,
    OutcomeUnknown,
    ProxmoxClient,
    ProxmoxUnreachable,
    Refused,
)
from support.proxmox import (
    SECRET,
    TOKEN_ID,
    RunningSimulator,
    client_settings,
    server_certificate,
)
from support.waiting import eventually_async

START = datetime(2026, 1, 1, tzinfo=UTC)
RUN = "import typer; from defib_cli.proxmox_sim_command import proxmox_sim; typer.run(proxmox_sim)"


@pytest.fixture
async def control(simulator: RunningSimulator) -> AsyncIterator[httpx.AsyncClient]:
    """The control interface; VM 100 runs on pve1 and boots in no time."""
    simulator.guest(bootSeconds=0)
    url = simulator.simulator.control_url
    async with httpx.AsyncClient(base_url=url, trust_env=False) as opened:
        yield opened


async def test_the_state_names_nodes_guests_and_posts(
    control: httpx.AsyncClient, client: ProxmoxClient
) -> None:
    outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(outcome, Accepted)
    state = (await control.get("/control/state")).json()
    assert state["nodes"] == [
        {"name": "pve1", "online": True},
        {"name": "pve2", "online": True},
    ]
    (guest,) = state["guests"]
    assert set(guest) == {
        *("vmid", "name", "node", "uuid", "power", "qmpstatus", "lock", "template"),
        *("frozen", "agentDead", "reporting", "bootId", "bootedAt", "bootSeconds", "resets"),
    }
    (post,) = state["posts"]
    assert (post["vmid"], post["action"], post["node"]) == (100, "reset", "pve1")
    assert (post["upid"], post["refused"]) == (outcome.upid.text, None)
    assert datetime.fromisoformat(post["time"]).tzinfo is not None
    assert state["api"]["mode"] == "ok"


async def test_a_frozen_guest_stops_reporting_until_it_is_reset(
    control: httpx.AsyncClient, client: ProxmoxClient
) -> None:
    frozen = (await control.patch("/control/guests/100", json={"frozen": True})).json()
    assert (frozen["frozen"], frozen["reporting"]) == (True, False)
    assert (await control.get("/control/guests?reporting")).json() == {"guests": []}
    await client.post_power("pve1", 100, PowerStep.RESET)

    async def reports() -> list[dict[str, object]]:
        guests = (await control.get("/control/guests?reporting")).json()["guests"]
        return [one for one in guests if one["bootId"] != frozen["bootId"]]

    (guest,) = await eventually_async(reports, what="the guest reports with a new boot id")
    assert guest["resets"] == 1


async def test_a_guest_can_be_created_and_destroyed(control: httpx.AsyncClient) -> None:
    made = await control.post("/control/guests", json={"vmid": 101, "name": "b", "node": "pve2"})
    assert made.status_code == 201
    assert made.json()["reporting"] is True
    gone = await control.patch("/control/guests/101", json={"exists": False})
    assert gone.json() == {}
    assert (await control.patch("/control/guests/101", json={"lock": None})).status_code == 400


async def test_a_node_can_be_taken_away(control: httpx.AsyncClient) -> None:
    answer = await control.patch("/control/nodes/pve1", json={"online": False})
    assert answer.json() == {"name": "pve1", "online": False}
    assert (await control.get("/control/guests?reporting")).json() == {"guests": []}


async def test_the_whole_api_can_be_taken_away_and_given_back(
    control: httpx.AsyncClient, client: ProxmoxClient
) -> None:
    await control.patch("/control/api", json={"mode": "unreachable"})
    with pytest.raises(ProxmoxUnreachable):
        await client.inventory()
    back = await control.patch("/control/api", json={"mode": "ok", "latencyMs": 20})
    assert (back.json()["mode"], back.json()["latencyMs"]) == ("ok", 20)
    assert (await client.inventory()).find(100) is not None


async def test_the_next_post_can_be_spoilt_once(
    control: httpx.AsyncClient, client: ProxmoxClient
) -> None:
    answer = await control.post("/control/next-post", json={"outcome": "dropped"})
    assert answer.json() == {"waiting": ["dropped"]}
    first = await client.post_power("pve1", 100, PowerStep.RESET)
    second = await client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(first, OutcomeUnknown)
    assert isinstance(second, Accepted)


@pytest.mark.parametrize(
    ("method", "path", "body", "text"),
    [
        ("PATCH", "/control/guests/100", {"colour": 1}, "allowed: agent, agentDead"),
        ("PATCH", "/control/guests/100", {"lock": "mine"}, "lock: must be one of backup"),
        ("PATCH", "/control/guests/999", {}, "there is no guest 999"),
        ("PATCH", "/control/guests/x", {}, "'x' is no vmid"),
        ("PATCH", "/control/guests/100", [], "must be a JSON object"),
        ("PATCH", "/control/nodes/pve9", {"online": True}, "known: pve1, pve2"),
        ("PATCH", "/control/nodes/pve1", {"on": True}, "allowed: online"),
        ("PATCH", "/control/api", {"mode": "odd"}, "mode: must be one of ok, unreachable"),
        ("PATCH", "/control/api", {"latency": 1}, "allowed: broadcastLagSeconds"),
        ("POST", "/control/next-post", {"outcome": "odd"}, "outcome: must be one of timeoutEx"),
        ("POST", "/control/next-post", {}, "outcome is missing"),
        ("POST", "/control/guests", {"vmid": 100, "name": "x"}, "VMID 100 is taken by web-0"),
        ("POST", "/control/guests", {"name": "x"}, "a guest needs vmid and name"),
    ],
)
async def test_what_makes_no_sense_is_a_400_that_says_what_would(
    control: httpx.AsyncClient, method: str, path: str, body: object, text: str
) -> None:
    answer = await control.request(method, path, json=body)
    assert answer.status_code == 400
    assert text in answer.json()["error"]


async def test_a_body_that_is_no_json_is_a_400(control: httpx.AsyncClient) -> None:
    answer = await control.patch("/control/guests/100", content=b"{")
    assert answer.status_code == 400
    assert "no JSON" in answer.json()["error"]


def test_an_inventory_lists_guests_one_by_one_and_by_the_dozen(tmp_path: Path) -> None:
    file = tmp_path / "inventory.yaml"
    file.write_text(
        "nodes: [a, b]\n"
        "guests:\n"
        "  - {vmid: 100, name: web, node: b, bootSeconds: null}\n"
        "  - {prefix: db-, count: 12, vmid: 200, node: a, power: stopped}\n"
    )
    dc = load_inventory(file, START)
    assert list(dc.nodes) == ["a", "b"]
    assert (dc.guests[100].node, dc.guests[100].simulated.boots) == ("b", None)
    assert [dc.guests[vmid].name for vmid in (200, 211)] == ["db-0", "db-11"]
    assert dc.guests[211].status == "stopped"
    assert len(dc.guests) == 13


def test_without_an_inventory_there_are_three_empty_nodes() -> None:
    dc = load_inventory(None, START)
    assert (list(dc.nodes), dc.guests) == (["pve1", "pve2", "pve3"], {})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([], "expected keys and values"),
        ({"hosts": []}, "allowed: guests, nodes"),
        ({"nodes": []}, "at least one node"),
        ({"nodes": "pve1"}, "must be a list of names"),
        ({"guests": [{"vmid": 100}]}, "a guest needs vmid and name"),
        ({"guests": [{"vmid": 100, "name": "a", "size": 1}]}, "unknown: size"),
        ({"guests": [{"prefix": "a-", "vmid": 100}]}, "needs count and vmid"),
        ({"guests": [{"prefix": "a-", "count": 2, "vmid": 100, "name": "x"}]}, "unknown: name"),
        ({"guests": [{"vmid": 100, "name": "a", "node": "x"}]}, "there is no node 'x'"),
        ({"guests": [{"vmid": 100, "name": "a"}, {"vmid": 100, "name": "b"}]}, "taken by a"),
    ],
)
def test_an_inventory_that_makes_no_sense_is_refused(data: object, text: str) -> None:
    with pytest.raises(ModelError) as raised:
        build_datacenter(data, START)
    assert text in str(raised.value)


async def test_the_command_serves_both_faces_until_it_is_told_to_stop(
    authority: Authority, tmp_path: Path
) -> None:
    files = server_certificate(authority)
    secret_file, inventory = tmp_path / "secret", tmp_path / "inventory.yaml"
    secret_file.write_text(f"{SECRET}\n")
    inventory.write_text("{nodes: [pve1], guests: [{vmid: 100, name: web-0}]}")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", RUN, "--port", "0", "--control-port", "0"),
        *("--cert", str(files.certificate), "--key", str(files.key)),
        *("--token-id", TOKEN_ID, "--token-secret-file", str(secret_file)),
        *("--inventory", str(inventory)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        urls = json.loads(await process.stdout.readline())
        async with ProxmoxClient(client_settings((urls["proxmox"],), authority.pem)) as client:
            assert (await client.inventory()).find(100) is not None
            assert (await client.token_rights()).missing == ()
        async with httpx.AsyncClient(base_url=urls["control"], trust_env=False) as control:
            assert (await control.get("/control/state")).status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0


async def test_the_command_says_what_it_cannot_read(tmp_path: Path, authority: Authority) -> None:
    files = server_certificate(authority)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", RUN, "--cert", str(files.certificate), "--key", str(files.key)),
        *("--token-secret-file", str(tmp_path / "missing")),
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert "proxmox-sim cannot run" in errors.decode()
    assert "missing" in errors.decode()


async def test_a_post_without_rights_is_recorded_as_refused(
    simulator: RunningSimulator, control: httpx.AsyncClient, client: ProxmoxClient
) -> None:
    await control.patch("/control/api", json={"mode": "forbidden"})
    outcome = await client.post_power("pve1", 100, PowerStep.RESET)
    assert isinstance(outcome, Refused)
    assert outcome.status == 403
    assert simulator.dc.posts[-1].refused == "Permission check failed (/vms/100, VM.PowerMgmt)"
