"""The doctor on a real PostgreSQL, with one thing broken at a time."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from defib_cli.doctor import database
from defib_cli.doctor.finding import Finding, Level
from defib_core.store import migrate, registry
from defib_core.store.checkup import Server
from defib_core.store.engine import Connection, in_one_transaction
from support.running_api import SEED_REPORT, run_sql, running_api

LEADS = "UPDATE leader_lease SET holder = 'op-0', expires_at = now() + interval '1 h'"
HEARD = "UPDATE operator_health SET swept_at = now(), kubernetes_seen_at = now()"
UUID = "4c4c4544-0042-4b10-8057-b6c04f4d3432"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
A_SERVER = Server(
    version="16.4",
    version_number=160004,
    fsync=True,
    synchronous_commit="on",
    full_page_writes=True,
    read_only=False,
    now=NOON,
    connections=10,
    most_connections=100,
    database_bytes=2**20,
)


def by_check(findings: list[Finding]) -> Mapping[tuple[str, str], Finding]:
    return {(one.part, one.check): one for one in findings}


async def looked_at(url: str, namespace: str = "defib") -> Mapping[tuple[str, str], Finding]:
    return by_check(await database.examine(url, namespace))


@pytest.mark.parametrize(
    ("broken", "check", "says", "advice"),
    [
        (
            "UPDATE alembic_version SET version_num = '0001'",
            ("postgresql", "migrations"),
            "the schema is at 0001, and this version needs",
            "defib db upgrade",
        ),
        (
            "UPDATE leader_lease SET holder = NULL, expires_at = NULL",
            ("operator", "leader"),
            "nobody leads",
            "start an operator",
        ),
        (
            "UPDATE operator_health SET swept_at = now() - interval '1 h'",
            ("operator", "sweep"),
            "the last sweep ended at",
            "operator's log",
        ),
        (
            "UPDATE operator_health SET kubernetes_seen_at = now() - interval '1 h'",
            ("operator", "kubernetes heard"),
            "last heard the Kubernetes API at",
            "listing_failed",
        ),
        (
            "UPDATE api_token SET sha256 = sha256('vm-api-key-123'::bytea) WHERE kind = 'agent'",
            ("tokens", "well-known secrets"),
            "has a secret that anybody may guess",
            "revoke it",
        ),
        (
            "DELETE FROM system_config",
            ("postgresql", "namespace"),
            "nothing was set up here for the namespace defib",
            "DEFIB_NAMESPACE",
        ),
    ],
    ids=lambda value: value[-1] if isinstance(value, tuple) else None,
)
async def test_one_thing_is_broken(
    database_url: str, broken: str, check: tuple[str, str], says: str, advice: str
) -> None:
    async with running_api(database_url, None):
        await run_sql(database_url, LEADS)
        await run_sql(database_url, HEARD)
        well = await looked_at(database_url)
        assert check not in well or well[check].level is Level.OK
    await run_sql(database_url, broken)
    found = (await looked_at(database_url))[check]
    assert found.level is Level.FAIL
    assert says in found.message
    assert advice in found.advice


async def test_an_empty_database_has_no_schema(empty_database_url: str) -> None:
    found = (await looked_at(empty_database_url))["postgresql", "migrations"]
    assert (found.level, found.message) == (Level.FAIL, "there is no schema")


async def test_a_later_schema_is_only_a_warning(database_url: str) -> None:
    await run_sql(database_url, "UPDATE alembic_version SET version_num = '9999'")
    found = (await looked_at(database_url))["postgresql", "migrations"]
    assert found.level is Level.WARN
    assert f"this version ends at {migrate.head()}" in found.message


async def test_nobody_stores_and_nobody_may_enter(database_url: str) -> None:
    async def set_up(connection: Connection) -> None:
        await registry.ensure_defaults(connection, "defib")

    await in_one_transaction(database_url, set_up, application="tests")
    found = await looked_at(database_url)
    assert found["ingest", "live"].level is Level.FAIL
    assert "no API replica has stored anything ever" in found["ingest", "live"].message
    assert found["tokens", "administrators"].level is Level.WARN
    assert found["tokens", "agents"].level is Level.WARN


async def test_vms_that_only_their_name_tells_apart_are_counted(database_url: str) -> None:
    async with running_api(database_url, None) as api:
        await api.send({**SEED_REPORT, "smbiosUuid": UUID})
    await run_sql(database_url, "UPDATE vm SET uid = 'x', namespace = 'defib', name = 'web'")
    found = (await looked_at(database_url))["tokens", "identity"]
    assert found.level is Level.WARN
    assert found.message.startswith("1 VM reports under a shared key")
    assert "defib enrolment create" in found.advice

    await run_sql(database_url, "UPDATE vm SET pinned_uuid = smbios_uuid")
    assert (await looked_at(database_url))["tokens", "identity"].level is Level.OK

    await run_sql(database_url, "UPDATE vm SET pinned_uuid = NULL")
    await run_sql(
        database_url,
        "INSERT INTO agent_token (sha256, cluster_id, vm_id, hostname, created_by)"
        " SELECT sha256('x'), cluster_id, id, hostname, 'kim' FROM vm",
    )
    assert (await looked_at(database_url))["tokens", "identity"].level is Level.OK


async def test_a_missing_partition_is_named(database_url: str) -> None:
    found = (await looked_at(database_url))["postgresql", "partitions of vm_metric"]
    assert (found.level, found.message) == (Level.FAIL, "the next one is missing: none")


async def test_a_wrong_password_is_one_line(database_url: str) -> None:
    (found,) = (await looked_at(database_url.replace("only-for-tests", "wrong"))).values()
    assert found.level is Level.FAIL
    assert "password authentication failed" in found.message
    assert "\n" not in found.message


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"version_number": 140012, "version": "14.12"}, "version", Level.FAIL),
        ({"read_only": True}, "writable", Level.FAIL),
        ({"fsync": False}, "fsync", Level.FAIL),
        ({"full_page_writes": False}, "fsync", Level.FAIL),
        ({"synchronous_commit": "off"}, "fsync", Level.WARN),
        ({"connections": 90}, "connections", Level.WARN),
        ({"now": NOON + timedelta(seconds=30)}, "clock", Level.WARN),
        ({"now": NOON - timedelta(minutes=6)}, "clock", Level.FAIL),
        ({"now": NOON + timedelta(seconds=2)}, "clock", Level.OK),
    ],
    ids=str,
)
def test_what_the_server_says_is_judged(
    changes: Mapping[str, object], check: str, level: Level
) -> None:
    values = {name: getattr(A_SERVER, name) for name in A_SERVER.__slots__}
    server = Server(**{**values, **changes})
    found = by_check(database._of_server(server, NOON))["postgresql", check]
    assert found.level is level
    assert bool(found.advice) is (level is not Level.OK)
