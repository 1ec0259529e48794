"""The last hour of some VMs, in one read."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from support.clock import freeze
from support.running_api import RunningApi, running_api

NOW = datetime(2026, 3, 1, 12, 2, tzinfo=UTC)
REPORTS = """
INSERT INTO vm_metric (vm_id, at, cpu, ram, ram_total) VALUES
    (1, '2026-03-01T10:58Z', 99, 1024, 4096),
    (1, '2026-03-01T11:51Z', 20, 1024, 4096),
    (1, '2026-03-01T11:54Z', 40, 1024, 4096),
    (1, '2026-03-01T12:01Z', 50, 1024, 2048)
"""
ROLLED_UP = """
INSERT INTO vm_metric_5m (vm_id, at, samples, cpu, cpu_max, ram, ram_max, ram_total)
VALUES (1, '2026-03-01T11:30Z', 10, 60, 70, 2048, 2048, 4096)
"""
UNTIL = """
INSERT INTO rollup_progress (rollup, done_until) VALUES ('vm_metric_5m', '2026-03-01T11:35Z')
ON CONFLICT (rollup) DO UPDATE SET done_until = excluded.done_until
"""


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[RunningApi]:
    freeze(database_url, NOW)
    async with running_api(database_url, None) as running:
        yield running


async def test_reports_and_rolled_up_means_make_one_line(api: RunningApi) -> None:
    for statement in (REPORTS, ROLLED_UP, UNTIL):
        await api.sql(statement)

    answer = (await api.get("/api/sparklines", ids="vm_1,vm_99,nonsense")).json()

    assert (answer["since"], answer["stepSeconds"]) == ("2026-03-01T11:05:00Z", 300)
    (line,) = answer["lines"]
    assert line["id"] == "vm_1"
    assert line["cpu"] == [None] * 5 + [60.0] + [None] * 3 + [30.0, None, 50.0]
    assert line["ram"] == [None] * 5 + [50.0] + [None] * 3 + [25.0, None, 50.0]


async def test_too_many_and_none_are_refused(api: RunningApi) -> None:
    many = ",".join(f"vm_{number}" for number in range(1, 202))
    assert (await api.get("/api/sparklines", ids=many)).status_code == 400
    assert (await api.get("/api/sparklines")).status_code == 400
    assert (await api.get("/api/sparklines", ids="")).json()["lines"] == []
