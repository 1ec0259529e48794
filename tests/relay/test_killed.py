"""Acknowledged against stored, while each part in turn is killed with SIGKILL under load."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from defib_core.store.migrate import upgrade
from defib_core.store.tokens import TokenKind
from defib_dev.components import processes, readiness
from defib_dev.components.ports import free_port
from defib_dev.components.postgres import PostgresServer
from support.counting_agents import CountingAgents
from support.folders import server_folder
from support.relay_process import (
    LOOPBACK,
    api_settings,
    new_relay,
    relay_settings,
    serving,
    until_ready,
)
from support.running_api import new_token, run_sql
from support.waiting import eventually_async

AGENTS, SOME = 8, 60
COUNTS = "SELECT v.vmid, count(*) FROM vm_metric m JOIN vm v ON v.id = m.vm_id GROUP BY 1"


@pytest.fixture
def durable() -> Iterator[tuple[PostgresServer, ExitStack]]:
    """A PostgreSQL that syncs, to be killed, and a stack for what is started."""
    with server_folder("durable") as folder, ExitStack() as stack:
        server = PostgresServer.at(folder / "postgres", free_port(), durable=True)
        server.prepare()
        yield server, stack


def start(server: PostgresServer, stack: ExitStack) -> processes.ProcessRecord:
    record = processes.start(server.spec(dies_with_parent=True), server.home / "postgres.log")
    stack.callback(processes.stop, record)
    readiness.wait_for_process(record, server.missing, deadline_seconds=60)
    return record


def kill(record: processes.ProcessRecord) -> None:
    """End the postmaster and all its children at once, as a failing machine would."""
    postmaster = psutil.Process(record.pid)
    family = [postmaster, *postmaster.children(recursive=True)]
    for one in family:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive


async def nothing_is_missing(database_url: str, agents: CountingAgents) -> None:
    """Each VM has at least as many points as it was acknowledged reports."""
    missing: dict[int, int] = {}

    async def all_there() -> bool:
        stored = dict(await run_sql(database_url, COUNTS))
        missing.clear()
        missing.update(
            {
                vmid: count - stored.get(vmid, 0)
                for vmid, count in agents.acknowledged.items()
                if count > stored.get(vmid, 0)
            }
        )
        return not missing

    try:
        await eventually_async(all_there, what="all is there", deadline_seconds=60)
    except AssertionError as error:
        raise AssertionError(f"acknowledged and missing, by VMID: {missing}") from error


async def test_no_acknowledged_report_is_missing_whoever_is_killed(
    durable: tuple[PostgresServer, ExitStack], tmp_path: Path
) -> None:
    server, stack = durable
    postgres = start(server, stack)
    url = server.ensure_database("defib", owner="defib", password="only-for-tests")
    upgrade(url)
    key, token = await new_token(url, TokenKind.AGENT, "tests"), await new_relay(url)
    api_port, relay_port = free_port(), free_port()
    api_url, relay_url = f"http://{LOOPBACK}:{api_port}", f"http://{LOOPBACK}:{relay_port}"
    api = ("api", api_settings(url, api_port), tmp_path / "api.log")
    relay = (
        "relay",
        relay_settings(api_port, token, tmp_path / "spool", relay_port),
        tmp_path / "relay.log",
    )
    first_api = stack.enter_context(serving(*api))
    first_relay = stack.enter_context(serving(*relay))
    async with httpx.AsyncClient(base_url=api_url) as http:
        await until_ready(http, api[2])
        async with httpx.AsyncClient(base_url=relay_url) as other:
            await until_ready(other, relay[2])
        direct = CountingAgents(api_url, key, AGENTS, first=100)
        behind = CountingAgents(relay_url, key, AGENTS, first=200)
        await direct.until(SOME)
        await behind.until(SOME)

        first_api.send_signal(signal.SIGKILL)
        await behind.until(SOME)
        stack.enter_context(serving(*api))
        await direct.until(SOME)

        kill(postgres)
        await behind.until(SOME)
        start(server, stack)
        await direct.until(SOME)

        first_relay.send_signal(signal.SIGKILL)
        stack.enter_context(serving(*relay))
        await behind.until(SOME)

        await direct.stop()
        await behind.stop()
        await nothing_is_missing(url, direct)
        await nothing_is_missing(url, behind)
    assert min(direct.acknowledged.total(), behind.acknowledged.total()) >= 3 * SOME
