"""Through PgBouncer: the whole story in session mode, and a clear refusal in transaction mode."""

import os
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from defib_core.store import fitness
from defib_core.store.fitness import UnfitDatabase
from operator_process.world import World
from support.pgbouncer import pgbouncer_before
from support.running_api import listening, running_api, settings_for
from support.waiting import eventually_async


class TestInSessionMode:
    """Everything goes through PgBouncer: agents, API, operator, and what the test asks."""

    @pytest.fixture
    def database_url(self, database_url: str) -> Iterator[str]:
        """The test's database, by way of PgBouncer."""
        with pgbouncer_before(database_url, "session") as url:
            yield url

    async def test_the_whole_story(self, world: World) -> None:
        async with running_api(world.database_url, None) as api:
            for _ in range(10):  # psycopg prepares what it has seen five times
                assert (await api.report(vmid=500)).status_code == 200
                assert (await api.get("/api/vms")).status_code == 200
            rows = await api.sql(
                "SELECT s.reports FROM vm v JOIN vm_state s ON s.vm_id = v.id WHERE v.vmid = 500"
            )
            assert rows == [(10,)]
        await world.watched("web-0", 100)

        world.change(100, frozen=True, bootSeconds=1)

        async def proven() -> bool:
            return await world.resets(100) == [("auto", "succeeded", True)]

        await eventually_async(proven, what="the recovery is proven", deadline_seconds=60)
        assert world.posts(100) == ["reset"]
        assert await world.sql("SELECT holder FROM leader_lease") == [("operator-1",)]


@pytest.fixture
def shared_url(database_url: str) -> Iterator[str]:
    """A database behind a PgBouncer that shares its connections by transaction."""
    with pgbouncer_before(database_url, "transaction") as url:
        yield url


async def test_transaction_mode_is_refused(shared_url: str) -> None:
    with pytest.raises(UnfitDatabase, match="pool_mode=session"):
        await fitness.check(shared_url, application="tests")
    with pytest.raises(UnfitDatabase, match="pool_mode=session"):
        fitness.check_own(shared_url)


def test_an_upgrade_in_transaction_mode_is_refused_in_one_line(shared_url: str) -> None:
    upgraded = subprocess.run(
        [sys.executable, "-m", "defib_cli.main", "db", "upgrade"],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "DEFIB_DATABASE_URL": shared_url},
    )
    assert upgraded.returncode == 1
    assert "pool_mode=session" in upgraded.stderr
    assert "Traceback" not in upgraded.stderr


async def test_in_transaction_mode_the_api_takes_no_report_and_says_why(shared_url: str) -> None:
    async with (
        listening(settings_for(shared_url, None)) as (port, _),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        said = ""

        async def says_why() -> bool:
            nonlocal said
            answer = await http.get("/readyz")
            said = answer.text
            return answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and "pool_mode" in said

        await eventually_async(says_why, what="/readyz says why", deadline_seconds=60)
    assert "pool_mode=session" in said
