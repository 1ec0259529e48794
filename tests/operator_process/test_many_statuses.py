"""Many statuses at once: each VM's newest, a few at a time, and none lost while the API is away."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.config.resources import Resource
from defib_core.store import mirror, registry
from defib_core.store.clock import database_now
from defib_core.store.engine import make_engine
from defib_operator import projector as projector_module
from defib_operator.events import Recorder
from defib_operator.kube import Kubernetes, KubernetesError
from defib_operator.leadership import Leadership
from defib_operator.projector import Projector
from support.stored import vm_object

VMS = 40


class Statuses:
    """A Kubernetes API that keeps what is written to it, and may be away."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str]] = []
        self.asked = 0
        self.under_way = 0
        self.most_under_way = 0
        self.is_away = False

    async def patch_status(
        self, _: Resource, __: str, name: str, status: Mapping[str, Any], ___: str
    ) -> None:
        """Keep the health that is written."""
        self.asked += 1
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        self.under_way -= 1
        if self.is_away:
            raise KubernetesError("write a status", None, "no answer")
        self.written.append((name, status["health"]))

    async def post_event(self, namespace: str, body: Mapping[str, Any]) -> None:
        """Take an Event."""


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    """A database with many VMs, whose statuses wait to be written."""
    made = make_engine(database_url, application="tests", pool_size=4)
    async with made.begin() as connection:
        await registry.ensure_defaults(connection, "defib")
        now = await database_now(connection)
        for number in range(VMS):
            await mirror.mirror_vm(connection, vm_object(100 + number), now)
    yield made
    await made.dispose()


@pytest.fixture
def api() -> Statuses:
    """The API."""
    return Statuses()


@pytest.fixture
async def projector(engine: AsyncEngine, api: Statuses) -> Projector:
    """The projector of production on it."""
    kubernetes = cast("Kubernetes", api)
    return Projector(engine, cast("Leadership", None), kubernetes, Recorder(kubernetes, "tests"))


async def all_are(engine: AsyncEngine, state: str) -> None:
    """Let every VM change its state, each change a row as ever."""
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)"
                " SELECT vm_id, defib_now(), state, :state, 'HeartbeatMissing' FROM vm_state"
            ),
            {"state": state},
        )
        await connection.execute(
            text(
                "UPDATE vm_state SET state = :state, last_heartbeat = defib_now(), reports = 1,"
                " status = 'running', cpu = 1, ram = 1, ram_total = 2,"
                " alive_since = CASE WHEN :state <> 'down' THEN defib_now() END"
            ),
            {"state": state},
        )


async def queued(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT count(*) FROM status_outbox"))
        return int(found.scalar_one())


async def write_all(projector: Projector) -> None:
    while await projector.project() is not None:
        pass


async def test_a_vm_that_changed_often_is_written_once_as_it_is_by_then(
    engine: AsyncEngine, projector: Projector, api: Statuses
) -> None:
    for state in ("healthy", "warning", "healthy", "down"):
        await all_are(engine, state)
    assert await queued(engine) == 5 * VMS
    await write_all(projector)
    assert sorted(api.written) == sorted((f"vm-{100 + n}", "down") for n in range(VMS))
    assert await queued(engine) == 0


async def test_few_are_under_way_at_a_time_and_few_are_read_at_once(
    projector: Projector, api: Statuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector_module, "BATCH", 15)
    assert await projector.project() == 0
    assert len(api.written) <= 15
    await write_all(projector)
    assert len(api.written) == VMS
    assert 1 < api.most_under_way <= projector_module.AT_A_TIME


async def test_while_the_api_is_away_nothing_is_lost_and_it_is_hardly_asked(
    engine: AsyncEngine, projector: Projector, api: Statuses
) -> None:
    api.is_away = True
    assert await projector.project() == VMS
    assert api.asked <= projector_module.AT_A_TIME, "one that does not answer is left alone"
    for state in ("healthy", "down", "healthy"):
        await all_are(engine, state)
        await projector.project()
    api.is_away = False
    await write_all(projector)
    assert sorted(api.written) == sorted((f"vm-{100 + n}", "healthy") for n in range(VMS))


async def test_what_says_the_same_as_before_is_not_written(
    engine: AsyncEngine, projector: Projector, api: Statuses
) -> None:
    await write_all(projector)
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO status_outbox (vm_id) SELECT id FROM vm"))
    await write_all(projector)
    assert len(api.written) == VMS
