"""The fleet from afar: columns, nodes, labels; Defib's own health; what a VM went through."""

from collections.abc import AsyncIterator

import pytest

from support.running_api import RunningApi, running_api


@pytest.fixture
async def bare(database_url: str) -> AsyncIterator[RunningApi]:
    """An API without Redis, with three VMs."""
    async with running_api(database_url, None) as api:
        await api.report(vmid=100, hostname="web-1", node="pve1")
        await api.report(vmid=101, hostname="web-2", node="pve2", cpuUsage=99)
        await api.report(vmid=102, hostname="db", node=None)
        yield api


async def test_the_whole_fleet_is_a_few_columns(bare: RunningApi) -> None:
    await bare.sql("UPDATE vm_state SET state = 'down', reset_pending = true WHERE vm_id = 1")
    await bare.sql("UPDATE vm SET paused_reason = 'patching' WHERE id = 1")
    await bare.sql(
        "INSERT INTO hold (vm_id, reason, message, started_at) VALUES (1, 'Paused', 'x', now())"
    )
    fleet = (await bare.get("/api/fleet")).json()
    assert fleet.pop("version") >= 3
    assert fleet.pop("takenAt").endswith("Z")
    assert fleet == {
        "nodes": [
            {"cluster": "default", "node": None},
            {"cluster": "default", "node": "pve1"},
            {"cluster": "default", "node": "pve2"},
        ],
        "ids": [1, 2, 3],
        "hostnames": ["web-1", "web-2", "db"],
        "node": [1, 2, 0],
        "states": "dwh",
        "flags": [7, 0, 0],
    }


async def test_an_empty_fleet_is_empty_everywhere(database_url: str) -> None:
    async with running_api(database_url, None) as api:
        fleet = (await api.get("/api/fleet")).json()
        assert (fleet["ids"], fleet["states"], fleet["nodes"]) == ([], "", [])
        for path in ("/api/vms", "/api/nodes", "/api/labels"):
            assert (await api.get(path)).json() == []
        page = (await api.get("/api/vms", limit=10)).json()
        assert page == {"items": [], "nextCursor": None, "total": 0}


async def test_nodes_are_counted_and_those_of_proxmox_are_there_too(bare: RunningApi) -> None:
    await bare.sql(
        "UPDATE proxmox_cluster SET nodes ="
        ' \'[{"name": "pve1", "online": true}, {"name": "pve3", "online": false}]\''
    )
    found = {node["node"]: node for node in (await bare.get("/api/nodes")).json()}
    assert found["pve1"] == {
        "cluster": "default",
        "node": "pve1",
        "online": True,
        "total": 1,
        "healthy": 1,
        "warning": 0,
        "down": 0,
        "unknown": 0,
        "resetFailed": 0,
    }
    assert (found["pve2"]["warning"], found["pve2"]["online"]) == (1, None)
    assert (found["pve3"]["total"], found["pve3"]["online"]) == (0, False)
    assert (found[None]["total"], found[None]["cluster"]) == (1, "default")


async def test_labels_are_listed_with_their_values(bare: RunningApi) -> None:
    await bare.sql("UPDATE vm SET labels = jsonb_build_object('team', hostname, 'all', 'x')")
    assert (await bare.get("/api/labels")).json() == [
        {"key": "all", "values": ["x"]},
        {"key": "team", "values": ["db", "web-1", "web-2"]},
    ]


async def test_labels_are_bounded(bare: RunningApi) -> None:
    await bare.sql(
        "UPDATE vm SET labels = (SELECT jsonb_object_agg('k' || n, 'v')"
        " FROM generate_series(1, 150) AS n)"
    )
    assert len((await bare.get("/api/labels")).json()) == 100


async def test_the_timeline_is_the_changes_of_state_oldest_first(bare: RunningApi) -> None:
    await bare.report(vmid=100, hostname="web-1", node="pve1", cpuUsage=99)
    timeline = (await bare.get("/api/vms/vm_1/timeline")).json()
    assert [(one["from"], one["to"], one["reason"]) for one in timeline] == [
        ("unknown", "healthy", "FirstHeartbeat"),
        ("healthy", "warning", "ThresholdExceeded"),
    ]
    await bare.sql("UPDATE vm_transition SET at = at - interval '3 hours'")
    assert (await bare.get("/api/vms/vm_1/timeline", hours=2)).json() == []
    assert len((await bare.get("/api/vms/vm_1/timeline", hours=4)).json()) == 2
    assert (await bare.get("/api/vms/vm_9/timeline")).status_code == 404
    assert (await bare.get("/api/vms/vm_1/timeline", hours=0)).status_code == 400


async def test_holds_that_reach_into_the_span_are_listed(bare: RunningApi) -> None:
    for reason, began, ended in (
        ("VMLocked", "10 hours", "9 hours"),
        ("BackOff", "5 hours", "1 hour"),
        ("Paused", "30 minutes", None),
    ):
        end = "NULL" if ended is None else f"now() - interval '{ended}'"
        await bare.sql(
            "INSERT INTO hold (vm_id, reason, message, started_at, ended_at)"
            f" VALUES (1, '{reason}', 'so', now() - interval '{began}', {end})"
        )
    holds = (await bare.get("/api/vms/vm_1/holds", hours=2)).json()
    assert [(one["reason"], one["message"]) for one in holds] == [
        ("BackOff", "so"),
        ("Paused", "so"),
    ]
    assert holds[0]["endedAt"] is not None
    assert holds[1]["endedAt"] is None
    assert (await bare.get("/api/vms/vm_9/holds")).status_code == 404


async def test_the_system_says_how_defib_is(bare: RunningApi) -> None:
    system = (await bare.get("/api/system")).json()
    assert system["ingest"]["live"] is True
    assert system["ingest"]["blindSince"] is None
    assert [one["live"] for one in system["ingest"]["replicas"]] == [True]
    assert system["operator"]["leader"] is None
    assert (system["holds"], system["brakes"], system["globalStop"]) == ([], [], None)
    assert system["intents"] == {"requested": 0, "sending": 0, "sent": 0}
    assert system["redis"] == "off"
    assert [one["name"] for one in system["clusters"]] == ["default"]


async def test_the_system_names_what_holds_and_who_is_blind(bare: RunningApi) -> None:
    await bare.report(vmid=103, hostname="busy")
    for vm_id, reason in ((1, "NodeBrake"), (2, "FleetBrake"), (3, "FleetBrake")):
        await bare.sql(
            "INSERT INTO hold (vm_id, reason, message, started_at)"
            f" VALUES ({vm_id}, '{reason}', 'x', now())"
        )
    await bare.sql(
        "INSERT INTO hold (vm_id, reason, message, started_at, alerted_at)"
        " VALUES (4, 'IOActive', 'x', now(), now())"
    )
    await bare.sql(
        "INSERT INTO brake (kind, key, reason, message, started_at)"
        " SELECT kind, key, reason, 'many are silent', now() FROM (VALUES"
        " ('fleet', (SELECT id FROM system_config) || '', 'FleetBrake'),"
        " ('node', (SELECT id FROM proxmox_cluster) || '/pve1', 'NodeBrake'),"
        " ('cluster', (SELECT id FROM proxmox_cluster) || '', 'PathFailure'),"
        " ('domain', (SELECT id FROM system_config) || '/r1', 'FleetBrake')"
        ") AS b(kind, key, reason)"
    )
    await bare.sql(
        "INSERT INTO global_stop (reason, started_by, started_at) VALUES ('test', 'alice', now())"
    )
    await bare.sql("UPDATE leader_lease SET holder = 'op-0', expires_at = now() + interval '1 h'")
    system = (await bare.get("/api/system")).json()
    assert system["holds"] == [
        {"reason": "FleetBrake", "count": 2, "alerting": 0},
        {"reason": "IOActive", "count": 1, "alerting": 1},
        {"reason": "NodeBrake", "count": 1, "alerting": 0},
    ]
    assert {(one["kind"], one["scope"], one["vms"]) for one in system["brakes"]} == {
        ("fleet", "defib/default", 2),
        ("node", "default/pve1", 1),
        ("cluster", "default", 0),
        ("domain", "defib/default: r1", 0),
    }
    assert system["globalStop"]["startedBy"] == "alice"
    assert system["operator"]["leader"] == "op-0"


async def test_the_system_says_which_relays_are_heard(bare: RunningApi) -> None:
    await bare.sql(
        "INSERT INTO relay (name, cluster_id, sha256, proved_at, revoked_at, waiting, lost,"
        " version)"
        " SELECT r.name, c.id, sha256(r.name::bytea), now() - r.ago, r.revoked, 5, 1, '1.2'"
        " FROM proxmox_cluster c, (VALUES ('away', interval '1 hour', NULL::timestamptz),"
        " ('gone', interval '0', now()), ('here', interval '0', NULL),"
        " ('new', NULL, NULL)) AS r(name, ago, revoked)"
    )
    relays = (await bare.get("/api/system")).json()["relays"]
    assert [(one["name"], one["live"]) for one in relays] == [
        ("away", False),
        ("here", True),
        ("new", False),
    ]
    assert relays[2]["provedAt"] is None
    assert (relays[0]["cluster"], relays[0]["waiting"], relays[0]["lost"]) == ("default", 5, 1)


async def test_ingest_is_blind_once_nobody_proves_it(bare: RunningApi) -> None:
    # The clock runs on without the replicas: for the database an hour has passed.
    await bare.sql(
        "CREATE OR REPLACE FUNCTION defib_now() RETURNS timestamptz LANGUAGE sql VOLATILE"
        " PARALLEL SAFE AS $$ SELECT clock_timestamp() + interval '1 hour' $$"
    )
    await bare.sql(
        "CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"
    )
    await bare.sql(
        "CREATE TRIGGER refused BEFORE INSERT OR UPDATE ON ingest_liveness"
        " FOR EACH ROW EXECUTE FUNCTION refused()"
    )
    await bare.sql("TRUNCATE ingest_liveness")
    system = (await bare.get("/api/system")).json()
    assert system["ingest"]["live"] is False
    assert system["ingest"]["blindSince"] is not None


async def test_the_configuration_in_force_is_shown(bare: RunningApi) -> None:
    await bare.sql("UPDATE system_config SET invalid = 'staleTimeoutMs is too short'")
    (config,) = (await bare.get("/api/config")).json()
    assert (config["name"], config["namespace"], config["source"]) == (
        "default",
        "defib",
        "defaults",
    )
    assert (config["vms"], config["invalid"]) == (3, "staleTimeoutMs is too short")
    assert config["spec"]["staleTimeoutMs"] == 300000


@pytest.mark.parametrize(
    "path",
    ["/api/fleet", "/api/nodes", "/api/labels", "/api/system", "/api/config", "/api/vms?limit=1"],
)
async def test_nothing_is_read_without_signing_in(bare: RunningApi, path: str) -> None:
    assert (await bare.http.get(path)).status_code == 401
