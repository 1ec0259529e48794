"""The API as a process of its own: configuration, signals, kill -9."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from defib_cli.api_commands import app
from defib_core.store.tokens import TokenKind
from defib_dev.components.ports import free_port
from support.running_api import SEED_REPORT, new_token, run_sql
from support.waiting import eventually_async

PROGRAM = (sys.executable, "-m", "defib_cli.api_commands")


def environment(**settings: str) -> dict[str, str]:
    """This process's environment with these settings and no others of ours."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith("DEFIB_")}
    return {**rest, **settings}


@contextmanager
def api_process(database_url: str, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`defib api serve`, killed at the end if it still runs."""
    settings = environment(
        DEFIB_DATABASE_URL=database_url,
        DEFIB_API_HOST="127.0.0.1",
        DEFIB_API_PORT=str(port),
        DEFIB_REPORT_LIMIT_PER_MINUTE="0",
    )
    with (
        log.open("wb") as output,
        subprocess.Popen([*PROGRAM, "serve"], env=settings, stdout=output, stderr=output) as child,
    ):
        try:
            yield child
        finally:
            child.kill()


async def until_ready(http: httpx.AsyncClient, log: Path) -> None:
    async def is_ready() -> bool:
        try:
            return (await http.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    what = f"the process is ready; its log: {log}"
    await eventually_async(is_ready, what=what, deadline_seconds=30)


class Load:
    """Agents that report as fast as they are answered, and count what was acknowledged."""

    def __init__(self, http: httpx.AsyncClient, key: str) -> None:
        self._http = http
        self._key = key
        self.acknowledged = 0
        self.refused: list[int] = []

    async def agent(self, vmid: int) -> None:
        """Report until the connection is lost."""
        body = {**SEED_REPORT, "vmid": vmid}
        while True:
            try:
                answer = await self._http.post(
                    "/api/health/report", json=body, headers={"X-API-Key": self._key}
                )
            except httpx.TransportError:
                return
            if answer.status_code == 200:
                self.acknowledged += 1
            else:
                self.refused.append(answer.status_code)

    async def has(self, reports: int) -> None:
        """Wait until so many are acknowledged."""

        async def enough() -> bool:
            return self.acknowledged >= reports

        await eventually_async(
            enough, what=f"{reports} reports are acknowledged", deadline_seconds=60
        )


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_no_acknowledged_report_is_missing_after_the_end(
    database_url: str, tmp_path: Path, how: signal.Signals
) -> None:
    key = await new_token(database_url, TokenKind.AGENT, "tests")
    port, log = free_port(), tmp_path / "api.log"
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        with api_process(database_url, port, log) as child:
            await until_ready(http, log)
            load = Load(http, key)
            agents = [asyncio.create_task(load.agent(100 + number)) for number in range(16)]
            await load.has(200)
            child.send_signal(how)
            await asyncio.gather(*agents)
            assert await asyncio.to_thread(child.wait, 20) == -how
    rows = await run_sql(database_url, "SELECT sum(reports)::int FROM vm_state")
    assert rows[0][0] >= load.acknowledged
    assert load.refused == []
    for line in log.read_text().splitlines():
        assert json.loads(line)["event"], "every line of the log is JSON"
    assert key not in log.read_text()


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the API to its end."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_without_a_database_url_it_says_which_variable_is_missing() -> None:
    ended = run("serve")
    assert ended.returncode == 2
    assert "DEFIB_DATABASE_URL is not set" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_misspelt_setting_is_refused() -> None:
    ended = run("serve", DEFIB_DATABASE_URL="postgresql://x/x", DEFIB_REDIS_ULR="redis://x")
    assert ended.returncode == 2
    assert "DEFIB_REDIS_ULR is not a setting of Defib" in ended.stderr


def test_the_openapi_document_is_printed_written_and_checked(tmp_path: Path) -> None:
    kept = tmp_path / "openapi.json"
    write, check = ["openapi", "--output", str(kept)], ["openapi", "--output", str(kept), "--check"]
    terminal = CliRunner()
    assert terminal.invoke(app, check).exit_code == 1
    assert not kept.exists()
    assert terminal.invoke(app, write).exit_code == 0
    assert terminal.invoke(app, check).exit_code == 0
    assert terminal.invoke(app, ["openapi"]).stdout == kept.read_text()
    kept.write_text("{}")
    outdated = terminal.invoke(app, check)
    assert outdated.exit_code == 1
    assert "is out of date" in outdated.stderr
