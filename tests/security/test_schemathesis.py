"""Every operation of the OpenAPI, asked by Schemathesis: no 500, and nothing undocumented.

What is asked is derived from the document alone, so that a run is the same each time.
"""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from defib_core.domain.states import State
from support.running_api import RunningApi, running_api

OPENAPI = Path(__file__).parents[2] / "api" / "openapi.json"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
ENDLESS = "getEvents"
"""A stream: it has no end to wait for, and tests/api asks it."""
FOREVER_SECONDS = 280


async def examine(api: RunningApi, folder: Path, *, headers: dict[str, str], most: int) -> str:
    """Run Schemathesis; return what it printed, and fail where it found something."""
    command = [
        str(Path(sys.executable).parent / "schemathesis"),
        *("run", str(OPENAPI), "--url", f"http://127.0.0.1:{api.port}"),
        *("--checks", ",".join(CHECKS), "--phases", "examples,fuzzing"),
        *("--generation-deterministic", "--max-examples", str(most), "--workers", "1"),
        *("--max-failures", "40", "--no-shrink", "--continue-on-failure"),
        *("--no-color", "--request-timeout", "30"),
        *("--exclude-operation-id", ENDLESS),
        *(part for name, value in headers.items() for part in ("--header", f"{name}: {value}")),
    ]
    printed = folder / "printed"
    with printed.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=folder, stdout=output, stderr=asyncio.subprocess.STDOUT
        )
        try:
            await asyncio.wait_for(process.wait(), FOREVER_SECONDS)
        finally:
            if process.returncode is None:
                process.kill()
    text = printed.read_text(errors="replace")
    assert process.returncode == 0, text[-20_000:]
    return text


@pytest.mark.timeout(600)
async def test_an_administrator_finds_no_500(database_url: str, tmp_path: Path) -> None:
    async with running_api(database_url, None, manual_reset_wait_seconds=0.01) as api:
        # The id of the examples.
        await api.sql("ALTER TABLE vm ALTER COLUMN id RESTART WITH 123")
        await api.report()
        assert (await api.get("/api/vms/vm_123")).json()["state"] in set(State)
        text = await examine(api, tmp_path, headers=api.admin, most=3)
        assert "No issues found" in text or "0 failed" in text or "passed" in text, text


@pytest.mark.timeout(600)
async def test_nobody_finds_no_500_and_gets_nothing(database_url: str, tmp_path: Path) -> None:
    async with running_api(database_url, None) as api:
        await api.report()
        await examine(api, tmp_path, headers={}, most=2)
        assert await api.sql("SELECT count(*) FROM audit") == [(0,)]
        assert await api.sql("SELECT count(*) FROM reset_history") == [(0,)]


def test_the_document_is_examined_whole() -> None:
    document = json.loads(OPENAPI.read_text())
    names = [one["operationId"] for path in document["paths"].values() for one in path.values()]
    assert names.count(ENDLESS) == 1
