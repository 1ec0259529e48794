"""Disks that are really full or read-only, and a `/proc` that hides most: the agent goes on.

Each runs in a mount namespace of its own, so that nothing of this machine is touched, and all of it
is gone with the process.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agents.linux_agent import Agent, obtain, stop, told
from agents.report_server import Answer, ReportServer

TWICE = "read_environment; choose_tool; check_server; report running; report running"


def apart(agent: Agent, setup: str, **settings: str) -> Agent:
    """The agent where `setup` was run before, with mounts that only it sees."""
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    script = f'set -e\nmount={obtain("mount")}\n{setup}\nexec "$@"'
    around = (obtain("unshare"), *as_root, "--mount", obtain("sh"), "-c", script, "apart")
    return replace(agent, shell=(*around, *agent.shell)).with_settings(**settings)


def full(place: Path | str) -> str:
    """Mount a small disk there, and fill it."""
    return f"""
        $mount -t tmpfs -o size=64k,mode=1777 none {place}
        cat /dev/zero >{place}/filler 2>/dev/null || :
        ! echo more 2>/dev/null >{place}/more || exit 9
    """


def with_full_disk(agent: Agent, server: ReportServer) -> Agent:
    place = agent.folder / "full"
    place.mkdir()
    return apart(
        agent,
        full(place),
        DEFIB_URL=server.url,
        DEFIB_INTERVAL="1",
        DEFIB_STATE_DIR=str(place),
        TMPDIR=str(place),
    )


# The root and everything on it; a system whose root is read-only has memory mounted here.
READ_ONLY = """
    $mount -o remount,bind,ro /
    $mount -t tmpfs -o size=64k none /dev/shm
    ! echo more 2>/dev/null >/more || exit 9
"""


def with_read_only_root(agent: Agent, server: ReportServer) -> Agent:
    return apart(
        agent, READ_ONLY + writable_is(agent.folder), DEFIB_URL=server.url, DEFIB_INTERVAL="1"
    )


def writable_is(folder: Path) -> str:
    """Fail where the test's folder is on another file system, which is then still writable."""
    return f"! echo more 2>/dev/null >{folder}/more || $mount -o bind,ro {folder} {folder}\n"


Place = Callable[[Agent, ReportServer], Agent]
DISKS = pytest.mark.parametrize("put", [with_full_disk, with_read_only_root], ids=["full", "ro"])


@DISKS
async def test_it_reports_and_ends_in_an_orderly_way_and_has_nothing_to_complain_about(
    agent: Agent, server: ReportServer, put: Place
) -> None:
    async with put(agent, server).started() as process:
        await server.until(2)
        said = await stop(process)
    assert len(said) == 1, said
    assert "reports to" in said[0]
    assert server.statuses()[-1] == "stopping"


@DISKS
async def test_under_cron_it_reports_once_a_minute_as_no_two_would_know_of_each_other(
    agent: Agent, server: ReportServer, put: Place
) -> None:
    placed = put(agent, server)
    for count in (1, 2):
        done = await placed.run("--cron")
        assert done.code == 0, done.err
        assert len(done.err.splitlines()) == 1
        assert "/pid, so it reports once a minute; is the disk full, or read-only?" in done.err
        assert server.statuses() == ["running"] * count


@DISKS
async def test_wget_learns_the_key_through_memory(
    wget_agent: Agent, server: ReportServer, put: Place
) -> None:
    server.answers.append(Answer(401, '{"success": false, "message": "not yet"}'))
    done = await asyncio.to_thread(put(wget_agent, server).sourced, TWICE)
    assert done.code == 0, done.err
    said = told(done.err)
    assert len(said) == 2, said
    assert "refuses the key" in said[0]
    assert "accepted again" in said[1]


async def test_where_wget_can_write_nowhere_it_names_the_places(
    wget_agent: Agent, server: ReportServer
) -> None:
    placed = with_full_disk(wget_agent, server)
    everything = apart(placed, full("/dev/shm") + full("/run"))
    done = await everything.run("--once")
    assert done.code == 78
    [said] = done.err.splitlines()
    assert "none can be written" in said
    assert "/dev/shm" in said
    assert server.received == []


async def test_the_key_file_may_be_on_a_disk_that_is_read_only(
    agent: Agent, server: ReportServer
) -> None:
    agent.key_file.chmod(0o400)
    server.answers.append(Answer(401, '{"success": false, "message": "not yet"}'))
    done = await asyncio.to_thread(with_read_only_root(agent, server).sourced, TWICE)
    assert done.code == 0, done.err
    assert len(told(done.err)) == 2


async def test_a_proc_with_nothing_but_processes_costs_the_figures_and_not_the_agent(
    agent: Agent, server: ReportServer
) -> None:
    """As under systemd's ProcSubset=pid."""
    limited = apart(agent, "$mount -t proc -o subset=pid proc /proc", DEFIB_URL=server.url)
    done = await asyncio.to_thread(limited.sourced, TWICE)
    assert done.code == 0, done.err
    for received in server.reports:
        assert received.report["hostname"] == socket.gethostname()
        assert not {"cpuUsage", "ramUsage", "uptime", "bootId"} & received.report.keys()
    said = [line.split(":")[1].split()[0] for line in done.err.splitlines()]
    # Each once; busybox's df finds no disk without the list of mounts.
    assert said in (["cpuUsage", "ramUsage"], ["cpuUsage", "ramUsage", "diskUsage"])
