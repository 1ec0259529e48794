"""PostgreSQL goes away, falls silent, comes back: nothing is lost silently, nothing hangs."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from defib_api.ingest import writer
from support.logged import Logged
from support.running_api import RunningApi, listening, running_api, settings_for
from support.tcp_proxy import TcpProxy, proxy_to
from support.waiting import eventually_async

KILL_WRITER = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
    " WHERE application_name = 'defib-api-writer' AND datname = current_database()"
)


@dataclass(frozen=True, slots=True)
class Cut:
    """An API whose way to PostgreSQL the test holds in its hand."""

    api: RunningApi
    proxy: TcpProxy


@pytest.fixture
async def cut(database_url: str, redis_url: str) -> AsyncIterator[Cut]:
    """An API behind a proxy of its own."""
    async with (
        proxy_to(database_url) as proxy,
        running_api(database_url, redis_url, through=proxy.in_front_of(database_url)) as api,
    ):
        yield Cut(api, proxy)


async def reports(api: RunningApi) -> int:
    """How many reports are stored."""
    rows = await api.sql("SELECT coalesce(sum(reports), 0)::int FROM vm_state")
    return int(rows[0][0])


async def until_away(api: RunningApi) -> None:
    """Wait until the writer knows."""

    async def is_away() -> bool:
        return api.services.writer.away is not None

    await eventually_async(is_away, what="the writer saw that the database is gone")


async def test_a_lost_database_is_a_503_that_says_when_to_come_back(cut: Cut) -> None:
    await cut.api.report()
    await cut.proxy.close()
    answer = await cut.api.report()
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json() == {
        "success": False,
        "message": "the report was not stored: the database cannot be reached now; send it again",
    }
    assert await reports(cut.api) == 1


async def test_reports_are_stored_again_once_it_is_back(cut: Cut) -> None:
    await cut.api.report()
    await cut.proxy.close()
    assert (await cut.api.report()).status_code == 503
    await until_away(cut.api)
    await cut.proxy.open()
    await cut.api.ready()
    assert (await cut.api.report()).status_code == 200
    assert await reports(cut.api) == 2


async def test_a_new_vm_is_a_503_too(cut: Cut) -> None:
    await cut.proxy.close()
    assert (await cut.api.report(vmid=101)).status_code == 503


@pytest.mark.parametrize("path", ["/api/vms/vm_1", "/api/vms/vm_1/metrics", "/api/resets/reset_1"])
async def test_a_read_without_the_database_is_a_503_with_words(cut: Cut, path: str) -> None:
    await cut.api.report()
    await cut.proxy.close()
    answer = await cut.api.get(path)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "the database cannot be reached" in answer.json()["message"]


async def test_a_reset_without_the_database_is_a_503(cut: Cut) -> None:
    await cut.api.report()
    await cut.proxy.close()
    assert (await cut.api.ask_reset("vm_1")).status_code == 503


async def test_readyz_says_what_is_missing_and_since_when_and_livez_stays(cut: Cut) -> None:
    await cut.proxy.close()
    await until_away(cut.api)
    answer = await cut.api.http.get("/readyz")
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert answer.json()["ready"] is False
    for name in ("database", "ingest"):
        assert checks[name]["status"] == "down"
        assert checks[name]["since"].endswith("Z")
        assert checks[name]["message"]
    assert checks["redis"]["status"] == "ok"
    assert (await cut.api.http.get("/livez")).json() == {"alive": True}


async def test_an_api_that_starts_without_a_database_lives_and_then_gets_ready(
    database_url: str,
) -> None:
    async with proxy_to(database_url) as proxy:
        await proxy.close()
        settings = settings_for(proxy.in_front_of(database_url), None)
        async with (
            listening(settings) as (port, _),
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
        ):
            assert (await http.get("/livez")).status_code == 200
            assert (await http.get("/readyz")).status_code == 503
            await proxy.open()

            async def is_ready() -> bool:
                return (await http.get("/readyz")).status_code == 200

            await eventually_async(is_ready, what="ready once the database is there")


async def test_a_database_that_was_not_migrated_is_named(empty_database_url: str) -> None:
    settings = settings_for(empty_database_url, None)
    async with (
        listening(settings) as (port, _),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
    ):

        async def said() -> str | None:
            message: str | None = (await http.get("/readyz")).json()["checks"]["setup"]["message"]
            return message if message is not None and "upgrade" in message else None

        message = await eventually_async(said, what="/readyz names the missing schema")
        assert message == "the database's schema is missing or too old; run `defib db upgrade`"


async def test_a_killed_writer_connection_costs_nobody_a_report(
    api: RunningApi, logged: Logged
) -> None:
    await api.report()
    for round_number in range(3):
        assert await api.sql(KILL_WRITER) == [(1,)]
        answer = await api.report(uptime=round_number)
        assert answer.status_code == 200, logged.text()
    assert await reports(api) == 4


async def test_no_acknowledged_report_is_missing_across_cuts_under_load(cut: Cut) -> None:
    acknowledged = 0
    stop = asyncio.Event()

    async def agent(first: int) -> None:
        nonlocal acknowledged
        vmids = itertools.count(first)  # one VM would soon report too often
        while not stop.is_set():
            answer = await cut.api.report(vmid=next(vmids))
            assert answer.status_code in (200, 503)
            acknowledged += answer.status_code == 200

    agents = [asyncio.create_task(agent(1_000_000 * (1 + number))) for number in range(8)]
    for _ in range(3):
        before = acknowledged

        async def some_more(before: int = before) -> bool:
            return acknowledged >= before + 40

        await eventually_async(some_more, what="reports are acknowledged", deadline_seconds=20)
        await cut.proxy.close()
        await until_away(cut.api)
        await cut.proxy.open()
    stop.set()
    await asyncio.gather(*agents)
    stored = await reports(cut.api)
    points = await cut.api.sql("SELECT count(*) FROM vm_metric")
    assert stored >= acknowledged
    assert points[0][0] >= acknowledged


async def test_a_database_that_falls_silent_is_given_up_and_readyz_answers(
    cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "STATEMENT_DEADLINE", 0.5)
    await cut.api.report()
    cut.proxy.freeze()
    begun = time.monotonic()
    answer = await cut.api.report()
    assert answer.status_code == 503
    assert time.monotonic() - begun < 5
    probe = await cut.api.http.get("/readyz")
    assert probe.status_code == 503
    assert "did not answer" in probe.json()["checks"]["ingest"]["message"]
    cut.proxy.thaw()
    await cut.api.ready()
    assert (await cut.api.report()).status_code == 200


async def test_a_silence_of_all_replicas_is_written_down_as_a_gap(cut: Cut) -> None:
    await cut.api.report()
    assert await cut.api.sql("SELECT count(*) FROM ingest_gap") == [(0,)]
    await cut.proxy.close()
    await until_away(cut.api)
    # Instead of waiting, the database's clock moves on.
    await cut.api.sql(
        "CREATE OR REPLACE FUNCTION defib_now() RETURNS timestamptz LANGUAGE sql VOLATILE"
        " PARALLEL SAFE AS $$SELECT clock_timestamp() + interval '3 s'$$"
    )
    await cut.api.sql("UPDATE ingest_liveness SET proved_at = proved_at - interval '10 s'")
    await cut.proxy.open()
    await cut.api.ready()
    gaps = await cut.api.sql(
        "SELECT cause, ended_at - started_at BETWEEN '10 s' AND '60 s' FROM ingest_gap"
    )
    assert gaps == [("silence", True)]


async def test_a_jump_of_the_databases_clock_is_written_down_as_a_gap(
    api: RunningApi, logged: Logged
) -> None:
    await api.sql(
        "CREATE OR REPLACE FUNCTION defib_now() RETURNS timestamptz LANGUAGE sql VOLATILE"
        " PARALLEL SAFE AS $$SELECT clock_timestamp() - interval '1 hour'$$"
    )

    async def causes() -> list[str]:
        return [row[0] for row in await api.sql("SELECT cause FROM ingest_gap")]

    assert await eventually_async(causes, what="the jump is a gap") == ["clock_jump"]

    async def said() -> bool:
        return "ingest.clock_jumped" in {line["event"] for line in logged.lines("warning")}

    await eventually_async(said, what="the log says so")


async def test_a_running_api_proves_itself_once_a_second_and_leaves_no_gap(api: RunningApi) -> None:
    proofs = "SELECT proved_at FROM ingest_liveness"
    first = await api.sql(proofs)

    async def proved_again() -> bool:
        return await api.sql(proofs) > first

    await eventually_async(proved_again, what="another proof", deadline_seconds=3)
    assert len(first) == 1
    assert await api.sql("SELECT count(*) FROM ingest_gap") == [(0,)]


async def test_a_store_that_cannot_store_does_not_prove_itself(api: RunningApi) -> None:
    await api.report()
    await api.sql("ALTER TABLE vm_metric RENAME TO gone")
    assert (await api.report()).status_code == 503
    away = api.services.writer.away
    assert away is not None
    assert "vm_metric" in away.why
    before = await api.sql("SELECT proved_at FROM ingest_liveness")

    async def tried_again() -> bool:
        return api.services.writer.away is not away

    await eventually_async(tried_again, what="the writer tried again")
    assert await api.sql("SELECT proved_at FROM ingest_liveness") == before
    await api.sql("ALTER TABLE gone RENAME TO vm_metric")
    await api.ready()
    assert (await api.report()).status_code == 200
