"""The commands that measure the Linux agent: they measure the real one, and say it in figures."""

import asyncio

import psutil
import pytest

from agents.linux_agent import SHELLS, obtain
from defib_dev.agent_check import cost, figures, script
from support.live_stack import defib

MIB = 1024 * 1024


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    obtain(request.param)
    return str(request.param)


def test_a_thousand_agents_started_at_once_are_spread_over_one_interval(shell: str) -> None:
    """Virtual time: the agent's own phase and jitter, for a thousand VMs started at one second."""
    spread = script.started_together(1000, shell=shell)
    assert spread.agents == 1000
    assert min(spread.seconds) >= 1
    assert spread.last <= 33
    assert spread.busiest <= 80  # 33 on average


def test_an_outage_of_ten_minutes_ends_without_a_herd(shell: str) -> None:
    """Virtual time: where a thousand agents stand in their back-off when the server is back."""
    spread = script.after_outage(1000, shell=shell)
    assert spread.agents == 1000
    assert spread.last <= 30
    # Full jitter thins out towards the end of the interval: at most about twice the mean a second.
    assert spread.busiest <= 130


def test_the_herd_is_shown_second_by_second() -> None:
    done = defib("agent", "herd", "--agents", "20", "--outage", "60")
    assert (done.returncode, done.stderr) == (0, "")
    assert "started in one second: 20 agents" in done.stdout
    assert "after an outage of 60 s: 20 agents" in done.stdout


async def test_the_cost_of_a_report_is_that_of_all_its_programs() -> None:
    found = await cost.measure(obtain("dash"), 2)
    assert found.reports >= 2
    assert found.cpu > 0
    assert min(found.resting, found.resting_own, found.peak) > 0
    assert found.share(30) == pytest.approx(found.cpu / 300)


async def test_the_figures_of_agent_and_psutil_are_those_of_the_same_machine() -> None:
    found = {one.name: one for one in await asyncio.to_thread(figures.compare, 1.0, load=1)}
    assert found["RAM"].agent == psutil.virtual_memory().total // MIB
    assert abs(found["RAM"].difference) < 1
    assert abs(found["root disk"].difference) < found["root disk"].psutil * 0.1
    assert 0 <= found["CPU"].agent <= 100


def test_a_shell_that_is_not_there_is_said() -> None:
    done = defib("agent", "herd", "--shell", "no-such-shell")
    assert done.returncode == 2
    assert "there is no no-such-shell on this machine" in done.stderr
