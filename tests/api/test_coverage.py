"""`/api/coverage`: the API tells what the operator has written down."""

from datetime import UTC, datetime

from defib_core.store import inventory
from defib_core.store.engine import make_engine
from support.inventory import guest
from support.running_api import RunningApi


async def test_the_api_tells_what_is_not_covered(api: RunningApi) -> None:
    await api.report(vmid=100, hostname="web-1")
    await api.report(vmid=101, hostname="gone")
    await api.sql("UPDATE proxmox_cluster SET spec = '{}', reachable = true")
    await api.sql("UPDATE vm SET uid = 'u' || id, namespace = 'defib', name = hostname")
    engine = make_engine(api.database_url, application="tests")
    async with engine.begin() as connection:
        await inventory.keep(
            connection,
            1,
            [
                guest(100, name="web-1", may_reset=False),
                guest(140, name=None, node="pve2", state="stopped"),
            ],
            datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        )
    await engine.dispose()

    found = (await api.get("/api/coverage")).json()

    assert found.pop("takenAt").endswith("Z")
    assert found["unknownAgents"][0].pop("lastHeartbeat").endswith("Z")
    assert found == {
        "agentless": [
            {"cluster": "default", "node": "pve2", "vmid": "140", "name": None, "state": "stopped"}
        ],
        "unknownAgents": [
            {
                "vmId": "vm_2",
                "hostname": "gone",
                "cluster": "default",
                "vmid": "101",
                "reason": "VMNotFound",
                "message": "Proxmox lists no VM 101: it is gone, the agent's vmid is wrong, or the"
                " token lacks VM.Audit on /vms/101",
            }
        ],
        "notResettable": [
            {
                "vmId": "vm_1",
                "hostname": "web-1",
                "cluster": "default",
                "node": "pve1",
                "reason": "ProxmoxForbidden",
                "message": "the token may not reset it: grant VM.PowerMgmt on /vms/100",
            }
        ],
        "clusters": [{"cluster": "default", "readAt": "2026-01-02T03:04:05Z"}],
        "counts": {"agentless": 1, "unknownAgents": 1, "notResettable": 1, "inventory": 2},
    }


async def test_nothing_is_told_to_strangers(api: RunningApi) -> None:
    assert (await api.http.get("/api/coverage")).status_code == 401
