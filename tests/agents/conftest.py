"""Every test that asks for `agent` runs under dash, bash and busybox sh."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.linux_agent import SHELLS, Agent, make_agent
from agents.report_server import ReportServer, report_server


@pytest.fixture(params=SHELLS)
def agent(request: pytest.FixtureRequest, tmp_path: Path) -> Agent:
    """An agent that sends with curl."""
    return make_agent(request.param, tmp_path)


@pytest.fixture(params=SHELLS)
def wget_agent(request: pytest.FixtureRequest, tmp_path: Path) -> Agent:
    """An agent on a machine that has GNU wget and no curl."""
    return make_agent(request.param, tmp_path, sender="wget")


@pytest.fixture
async def server() -> AsyncIterator[ReportServer]:
    """A server that accepts everything until told otherwise."""
    async with report_server() as running:
        yield running
