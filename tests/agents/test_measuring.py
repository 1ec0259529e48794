"""The commands that measure the Linux agent: they measure the real one, and say it in figures."""

import asyncio
from pathlib import Path

import psutil
import pytest

from agents.linux_agent import SHELLS, obtain
from defib_cli.agent_measures import PAGE, marks
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
    agents = 1000 if shell == "dash" else 300  # the others do the same, more slowly
    spread = script.after_outage(agents, shell=shell)
    assert spread.agents == agents
    assert spread.last <= 30
    # Full jitter thins out towards the end of the interval: at most about twice the mean a second.
    assert spread.busiest <= agents * 0.13 + 20


def test_the_herd_is_shown_second_by_second_and_told_in_the_page(page: Path) -> None:
    asked = ("agent", "herd", "--agents", "20", "--outage", "60", "--write-docs", "--page")
    done = defib(*asked, str(page))
    assert done.returncode == 0, done.stderr
    assert "2 of 2: the way back of 20 agents" in done.stderr
    assert "started in one second: 20 agents" in done.stdout
    assert "after an outage of 60 s: 20 agents" in done.stdout
    assert "| 20 | back after 60 s |" in page.read_text()


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A copy of the page that these commands write into."""
    copy = tmp_path / "README.md"
    copy.write_text(PAGE.read_text())
    return copy


def test_the_page_has_a_place_for_each_table() -> None:
    text = PAGE.read_text()
    for first, last in (marks(name) for name in ("cost", "figures", "herd")):
        assert 0 < text.index(first) < text.index(last)


def test_the_cost_command_says_how_long_it_takes_and_how_far_it_is(page: Path) -> None:
    """Few reports: not for the figures, only for the words and the table."""
    asked = ("agent", "cost", "--shell", "dash", "--reports", "4", "--write-docs", "--page")
    done = defib(*asked, str(page))
    assert done.returncode == 0, done.stderr
    assert "2 runs of 4 reports: about" in done.stderr
    assert "2 of 2: dash over https" in done.stderr
    assert "3 of 4 reports" in done.stderr
    assert done.stdout.splitlines()[0].startswith("shell")
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [
        ["dash", "http"],
        ["dash", "https"],
    ]
    assert "| dash | https |" in page.read_text()


async def test_the_cost_of_a_report_is_that_of_all_its_programs() -> None:
    told: list[int] = []
    found = await cost.measure(obtain("dash"), 3, cost.Over.HTTPS, told=told.append)
    assert found.reports == 3
    assert told[:3] == [1, 2, 3]
    assert found.cpu > 0
    assert found.peak.resident >= found.resting.resident > found.resting.divided > 0
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
