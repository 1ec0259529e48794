"""/api/events: what changes is told as it changes, numbered by the database, at any replica."""

import socket

import httpx
import psycopg
import pytest

from defib_api.events import feed as feed_module
from defib_api.events import stream
from defib_core.store.tokens import TokenKind
from support.listening import listening
from support.running_api import RunningApi, running_api
from support.tcp_proxy import proxy_to
from support.waiting import eventually_async

GO_DOWN = (
    "WITH gone AS (UPDATE vm_state SET state = 'down', state_since = now() WHERE vm_id = 1"
    " RETURNING vm_id) INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)"
    " SELECT vm_id, now(), 'healthy', 'down', 'HeartbeatMissing' FROM gone"
)


async def test_a_listener_is_told_where_it_begins_and_then_each_change(api: RunningApi) -> None:
    await api.report()
    async with listening(api) as heard:
        first = heard.events[0]
        assert (first.kind, first.data["version"]) == ("snapshot", first.number)
        assert first.data["vms"]["total"] == 1
        await api.sql(GO_DOWN)
        down = await heard.change_of("vm_1", "down")
        assert down.kind == "change"
        assert down.number > first.number
        assert down.data["vms"] == {
            "total": 1,
            "healthy": 0,
            "warning": 0,
            "down": 1,
            "unknown": 0,
            "resetFailed": 0,
        }
        (vm,) = down.data["changes"]
        assert vm == {
            "id": "vm_1",
            "hostname": "web-server-01",
            "node": "pve-node-1",
            "state": "down",
            "health": "down",
            "resetPending": False,
            "at": vm["at"],
            "reason": "HeartbeatMissing",
        }
        await api.report()
        back = await heard.change_of("vm_1", "healthy")
        assert back.number > down.number


async def test_everything_that_shows_is_told(api: RunningApi) -> None:
    await api.report()
    async with listening(api) as heard:
        await api.sql("UPDATE vm SET node = 'pve9' WHERE id = 1")
        await heard.until(
            lambda one: any(vm.get("node") == "pve9" for vm in one.data.get("changes", ())),
            what="the new node is told",
        )
        await api.sql("UPDATE vm_state SET reset_pending = true WHERE vm_id = 1")
        await api.sql(
            "INSERT INTO reset_history (vm_id, action, source, actor, reason, attempt,"
            " requested_at) VALUES (1, 'Reset', 'auto', 'x', 'x', 1, now())"
        )
        await heard.until(
            lambda one: any(vm.get("resetPending") for vm in one.data.get("changes", ())),
            what="the pending reset is told",
        )
        await api.report(vmid=777, hostname="new")
        await heard.change_of("vm_2", "healthy")
        await api.sql("DELETE FROM vm WHERE id = 2")
        await heard.until(
            lambda one: {"id": "vm_2", "removed": True} in one.data.get("changes", ()),
            what="the removal is told",
        )


async def test_who_comes_back_is_told_what_was_missed_at_another_replica_too(
    api: RunningApi,
) -> None:
    await api.report()
    async with listening(api) as heard:
        last = heard.events[-1].number
    await api.sql(GO_DOWN)
    async with running_api(api.database_url, None) as other, listening(other, last) as heard:
        assert heard.events[0].kind == "change"
        assert heard.events[0].number > last
        await heard.change_of("vm_1", "down")
        now = heard.events[-1].number
    async with listening(api, now) as heard:
        assert (heard.events[0].kind, heard.events[0].data["changes"]) == ("change", [])


@pytest.mark.parametrize("last_seen", [10**9, 1])
async def test_who_was_away_too_long_or_at_another_database_loads_anew(
    api: RunningApi, last_seen: int
) -> None:
    await api.report()
    await api.report(vmid=101)
    await api.sql("DELETE FROM fleet_change WHERE id < (SELECT max(id) FROM fleet_change)")
    async with listening(api, last_seen) as heard:
        assert heard.events[0].kind == "resync"


async def test_too_many_changes_at_once_are_a_resync(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "AT_ONCE_MOST", 5)
    monkeypatch.setattr(feed_module, "READ_AT_ONCE", 3)
    async with listening(api) as heard:
        await api.sql("INSERT INTO fleet_change (vm_id) SELECT n FROM generate_series(1, 5) AS n")
        told = await heard.until(lambda one: one.kind == "change", what="five are told")
        assert len(told.data["changes"]) == 5
        await api.sql("INSERT INTO fleet_change (vm_id) SELECT n FROM generate_series(1, 9) AS n")
        await heard.until(lambda one: one.kind == "resync", what="nine are too many")


async def test_a_long_list_is_told_in_parts_and_only_the_last_has_the_new_number(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "IN_A_MESSAGE", 2)
    async with listening(api) as heard:
        begin = heard.events[0].number
        await api.sql("INSERT INTO fleet_change (vm_id) SELECT n FROM generate_series(1, 5) AS n")
        await heard.until(lambda one: one.number > begin, what="the last part")
        parts = [one for one in heard.events if one.kind == "change"]
        assert [len(one.data["changes"]) for one in parts] == [2, 2, 1]
        assert [one.number for one in parts] == [begin, begin, begin + 5]


async def test_a_change_that_commits_late_is_told_and_not_jumped_over(api: RunningApi) -> None:
    await api.report()
    async with (
        listening(api) as heard,
        await psycopg.AsyncConnection.connect(api.database_url) as slow,
    ):
        begin = heard.events[0].number
        await slow.execute("UPDATE vm SET node = 'slow' WHERE id = 1")
        await api.report(vmid=101, hostname="quick")
        quick = await heard.change_of("vm_2", "healthy")
        assert quick.number == begin, "not beyond what is still to come"
        await slow.commit()
        told = await heard.until(
            lambda one: any(vm.get("node") == "slow" for vm in one.data.get("changes", ())),
            what="the late one is told",
        )
        assert told.number > begin


async def test_numbers_go_on_over_a_transaction_that_failed(api: RunningApi) -> None:
    await api.report()
    async with listening(api) as heard:
        async with await psycopg.AsyncConnection.connect(api.database_url) as failing:
            await failing.execute("UPDATE vm SET node = 'never' WHERE id = 1")
            await failing.rollback()
        await api.sql(GO_DOWN)
        await heard.change_of("vm_1", "down")
        begin = heard.events[0].number

        async def goes_on() -> bool:
            return await api.services.feed.look() > begin

        await eventually_async(goes_on, what="the gap is given up", deadline_seconds=60)


async def test_the_stream_outlives_the_database(database_url: str) -> None:
    async with (
        proxy_to(database_url) as proxy,
        running_api(database_url, None, through=proxy.in_front_of(database_url)) as api,
    ):
        await api.report()
        async with listening(api) as heard:
            await proxy.close()
            await api.sql(GO_DOWN)
            await proxy.open()
            await heard.change_of("vm_1", "down")
            assert not heard.ended


async def test_silence_is_filled_with_comments(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BEAT_SECONDS", 0.05)
    async with listening(api) as heard:

        async def beats() -> bool:
            return heard.comments > 2

        await eventually_async(beats, what="three comments", deadline_seconds=60)


async def test_the_stream_ends_after_its_time_and_when_the_server_stops(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_api(database_url, None) as api:
        monkeypatch.setattr(stream, "LASTS_SECONDS", 0.0)
        async with listening(api) as heard:

            async def over() -> bool:
                return heard.ended

            await eventually_async(over, what="its time is over", deadline_seconds=60)
        monkeypatch.setattr(stream, "LASTS_SECONDS", 900.0)
        context = listening(api)
        heard = await context.__aenter__()
    # The server has stopped, which it would not while it waits for an answer to end.
    assert heard.ended
    await context.__aexit__(None, None, None)


async def test_there_are_only_so_many_listeners(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "LISTENERS_MOST", 1)
    async with listening(api):
        refused = await api.get("/api/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")

    async def free() -> bool:
        return not api.services.feed._listeners

    await eventually_async(free, what="the place is free again", deadline_seconds=60)


async def test_nobody_takes_all_places(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "LISTENERS_OF_ONE", 1)
    bob = await api.new_token(TokenKind.ADMIN, "bob")
    async with listening(api):
        refused = await api.get("/api/events")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "30")
        assert "1 listeners of alice" in refused.json()["message"]
        headers = {"Authorization": f"Bearer {bob}"}
        async with api.http.stream("GET", "/api/events", headers=headers) as answer:
            assert answer.status_code == 200


async def test_a_stream_ends_with_the_token_it_was_opened_with(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BEAT_SECONDS", 0.2)
    async with listening(api) as heard:
        await api.sql("UPDATE api_token SET revoked_at = defib_now() WHERE kind = 'admin'")

        async def over() -> bool:
            return heard.ended

        await eventually_async(over, what="the stream is over", deadline_seconds=60)


async def test_a_reader_that_takes_nothing_is_cut_off(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "SEND_SECONDS", 0.2)
    await api.report()
    await api.sql("UPDATE vm SET hostname = repeat('x', 200000)")
    with socket.create_connection(("127.0.0.1", api.port)) as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        token = api.admin["Authorization"]
        head = f"GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n"
        idle.sendall(head.encode())

        async def listens() -> bool:
            return bool(api.services.feed._listeners)

        await eventually_async(listens, what="it listens", deadline_seconds=60)

        async def gone() -> bool:
            await api.sql("INSERT INTO fleet_change (vm_id) VALUES (1)")
            return not api.services.feed._listeners

        await eventually_async(gone, what="it is cut off", deadline_seconds=60)


@pytest.mark.parametrize("wrong", ["x", "-1", "1.5", "9" * 19])
async def test_a_number_that_is_none_is_refused(api: RunningApi, wrong: str) -> None:
    answer = await api.http.get("/api/events", headers={**api.admin, "Last-Event-ID": wrong})
    assert answer.status_code == httpx.codes.BAD_REQUEST
    assert answer.json()["errors"][0]["field"] == "Last-Event-ID"


async def test_nobody_listens_without_signing_in(api: RunningApi) -> None:
    assert (await api.http.get("/api/events")).status_code == httpx.codes.UNAUTHORIZED
