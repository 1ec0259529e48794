"""Batches: what is wrong with one report harms no other, and what is late moves no state."""

import json

import pytest

from defib_api.ingest.batch import MOST_REPORTS
from defib_api.ingest.flood import Flood, TooOften
from defib_core.store import late
from defib_core.store.engine import make_engine
from defib_core.store.heartbeats import Heartbeat
from support.running_api import RunningApi, running_api
from support.waiting import eventually_async


async def test_reports_that_come_together_are_stored_together(api: RunningApi) -> None:
    answer = await api.batch(*({"vmid": 100 + number} for number in range(250)))
    assert (answer.status_code, answer.json()) == (
        200,
        {"success": True, "accepted": 250, "rejected": []},
    )
    again = await api.batch(*({"vmid": 100 + number} for number in range(250)))
    assert again.json()["accepted"] == 250
    assert await api.sql("SELECT count(*), min(reports), max(reports) FROM vm_state") == [
        (250, 2, 2)
    ]
    assert await api.sql("SELECT count(*) FROM vm_metric") == [(500,)]
    assert api.services.counts.batched[200] == 500


async def test_each_wrong_one_is_named_and_the_others_are_stored(api: RunningApi) -> None:
    answer = await api.batch(
        {"vmid": 100},
        {"vmid": 101, "cpuUsage": 900},
        {"vmid": 102, "ramUsage": 5000},
        "not an object",
        {"vmid": 99},
        {"vmid": 103, "ageSeconds": -1},
        {"vmid": 104, "ageSeconds": 700_000},
        {"vmid": None},
        {"vmid": 105},
    )
    assert answer.status_code == 200
    said = answer.json()
    assert said["accepted"] == 2
    assert [(one["index"], one["status"]) for one in said["rejected"]] == [
        (index, 400) for index in range(1, 8)
    ]
    messages = [one["message"] for one in said["rejected"]]
    for message, words in zip(
        messages,
        ("cpuUsage must", "ramUsage must", "JSON object", "vmid must", "ageSeconds must"),
        strict=False,
    ):
        assert words in message
    assert await api.sql("SELECT vmid FROM vm ORDER BY 1") == [(100,), (105,)]


async def test_a_refused_one_is_a_sign_of_life_where_it_is_fresh(api: RunningApi) -> None:
    await api.batch({"vmid": 100}, {"vmid": 101})
    await api.batch(
        {"vmid": 100, "cpuUsage": 900}, {"vmid": 101, "cpuUsage": 900, "ageSeconds": 300}
    )

    async def noted() -> bool:
        rows = await api.sql(
            "SELECT v.vmid FROM report_rejection r JOIN vm v ON v.id = r.vm_id ORDER BY 1"
        )
        return rows == [(100,)]

    await eventually_async(noted, what="the fresh one is noted")


async def test_a_late_one_fills_the_history_and_moves_nothing(api: RunningApi) -> None:
    await api.batch({"vmid": 100, "cpuUsage": 20})
    before = await api.sql("SELECT * FROM vm_state")
    answer = await api.batch(
        {"vmid": 100, "cpuUsage": 99, "ageSeconds": 600},
        {"vmid": 100, "cpuUsage": 98, "ageSeconds": 630},
    )
    assert answer.json()["accepted"] == 2
    assert await api.sql("SELECT * FROM vm_state") == before
    ages = await api.sql(
        "SELECT round(extract(epoch FROM now() - at))::int / 100, cpu::int FROM vm_metric"
        " ORDER BY at"
    )
    assert ages == [(6, 98), (6, 99), (0, 20)]
    assert api.services.counts.late == 2


async def test_a_vm_that_is_heard_of_by_late_samples_alone_stays_unknown(api: RunningApi) -> None:
    await api.batch({"vmid": 100, "ageSeconds": 3600})
    assert await api.sql("SELECT state, last_heartbeat, reports FROM vm_state") == [
        ("unknown", None, 0)
    ]


async def test_a_fresh_one_counts_from_when_it_was_taken(api: RunningApi) -> None:
    await api.batch({"vmid": 100, "ageSeconds": 20})
    rows = await api.sql(
        "SELECT state, now() - last_heartbeat BETWEEN interval '20 s' AND interval '50 s'"
        " FROM vm_state"
    )
    assert rows == [("healthy", True)]


async def test_several_of_one_vm_each_become_a_point(api: RunningApi) -> None:
    answer = await api.batch(*({"vmid": 100, "ageSeconds": age} for age in (20, 10, 0)))
    assert answer.json()["accepted"] == 3
    assert await api.sql("SELECT count(*) FROM vm_metric") == [(3,)]
    assert await api.sql("SELECT reports FROM vm_state") == [(3,)]


async def test_of_a_crowd_of_one_vm_the_batch_keeps_what_it_can(api: RunningApi) -> None:
    answer = await api.batch(*({"vmid": 100} for _ in range(6)), {"vmid": 101})
    said = answer.json()
    assert said["accepted"] == 5
    assert {one["status"] for one in said["rejected"]} == {429}


async def test_a_vm_that_was_removed_meanwhile_is_registered_anew(api: RunningApi) -> None:
    await api.batch({"vmid": 100}, {"vmid": 101})
    await api.sql("DELETE FROM vm WHERE vmid = 100")
    answer = await api.batch({"vmid": 100}, {"vmid": 101})
    assert answer.json()["accepted"] == 2
    assert await api.sql("SELECT count(*) FROM vm_state WHERE last_heartbeat IS NOT NULL") == [(2,)]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "not valid JSON"),
        (b"{", 400, "not valid JSON"),
        (b"[]", 400, '"reports"'),
        (b"{}", 400, '"reports"'),
        (b'{"reports": {}}', 400, '"reports"'),
        (b'{"reports": [\xff]}', 400, "not valid JSON"),
        (b'{"reports": ' + b"[" * 2000 + b"]" * 2000 + b"}", 400, ""),
        (json.dumps({"reports": [{}] * (MOST_REPORTS + 1)}).encode(), 400, "1000"),
        (b'{"reports": ["' + b"x" * 2**20 + b'"]}', 413, "1 MiB"),
    ],
)
async def test_what_is_no_batch_is_refused_as_a_whole(
    shared_api: RunningApi, body: bytes, status: int, words: str
) -> None:
    answer = await shared_api.http.post(
        "/api/health/reports",
        content=body,
        headers={"X-API-Key": shared_api.agent_key, "Content-Type": "application/json"},
    )
    assert answer.status_code == status, answer.text
    assert words in answer.text.replace("\\", "")


async def test_an_empty_batch_is_none_the_worse(shared_api: RunningApi) -> None:
    assert (await shared_api.batch()).json() == {"success": True, "accepted": 0, "rejected": []}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-API-Key": "wrong"}, 401),
        ({"Content-Type": "text/plain"}, 415),
        ({"X-Relay-Token": "wrong"}, 401),
    ],
)
async def test_keys_and_types_are_asked_for_as_of_a_single_report(
    shared_api: RunningApi, headers: dict[str, str], status: int
) -> None:
    answer = await shared_api.http.post(
        "/api/health/reports",
        content=b'{"reports": []}',
        headers={
            "X-API-Key": shared_api.agent_key,
            "Content-Type": "application/json",
            **headers,
        },
    )
    assert answer.status_code == status


async def test_a_flood_of_one_vm_is_refused_and_counted(database_url: str) -> None:
    async with running_api(database_url, None, report_limit_per_minute=1) as api:

        async def refused() -> bool:
            answer = await api.report(vmid="100")
            if answer.status_code == 200:
                return False
            assert answer.status_code == 429, answer.text
            assert 1 <= int(answer.headers["retry-after"]) <= 10
            return True

        await eventually_async(refused, what="one too many is refused")
        assert (await api.report(vmid="101")).status_code == 200
        assert (await api.batch({"vmid": 100, "ageSeconds": 600})).json()["accepted"] == 1
        together = (await api.batch(*({"vmid": 102} for _ in range(3)), {"vmid": 103})).json()
        assert {one["status"] for one in together["rejected"]} == {429}
        assert api.services.counts.floods >= 2
        assert api.services.counts.answered[429] >= 1


def test_a_vm_may_send_so_much_in_ten_seconds_and_again_in_the_next() -> None:
    now = 100.0
    flood = Flood(12, monotonic=lambda: now)
    for vm_id in (1, 1, 2):
        flood.admit(vm_id)
    with pytest.raises(TooOften) as caught:
        flood.admit(1)
    assert caught.value.seconds == 10
    flood.admit(2)
    for _ in range(200):
        flood.admit(1, late=True)
    with pytest.raises(TooOften):
        flood.admit(1, late=True)
    now = 110.0
    flood.admit(1)


def test_without_a_limit_nothing_is_counted() -> None:
    flood = Flood(0)
    for _ in range(10_000):
        flood.admit(1)


def sample(vm_id: int, age: float, cpu: float) -> Heartbeat:
    return Heartbeat(vm_id, "running", cpu, 100, 200, 5, 10, 60, None, None, age)


async def test_a_late_sample_corrects_the_buckets_that_were_made(api: RunningApi) -> None:
    """By the mean of all samples, once each; what is older than reports are kept, too."""
    await api.batch({"vmid": 100})
    engine = make_engine(api.database_url, application="tests")
    try:
        async with engine.begin() as connection:
            await connection.exec_driver_sql(
                "INSERT INTO rollup_progress (rollup, done_until) VALUES"
                " ('vm_metric_5m', now() - interval '10 min'),"
                " ('vm_metric_1h', now() - interval '3 h')"
            )
            for age, cpu in ((14_400, 10.0), (14_407, 30.0), (3 * 86_400, 50.0), (60, 70.0)):
                assert await late.store_late(connection, [sample(1, age, cpu)]) == 1
            assert await late.store_late(connection, [sample(99, 60, 1.0)]) == 0
    finally:
        await engine.dispose()
    for table in ("vm_metric_5m", "vm_metric_1h"):
        rows = await api.sql(f"SELECT sum(samples), sum(cpu * samples), max(cpu_max) FROM {table}")
        assert rows == [(3, 90, 50)]
    raw = await api.sql("SELECT cpu::int FROM vm_metric WHERE cpu <> 45.2::real ORDER BY at")
    assert raw == [(30,), (10,), (70,)]
