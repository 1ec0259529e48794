"""Which programs a report starts. It runs in every VM, for ever, so that there are few of them."""

import asyncio
from collections import Counter
from pathlib import Path

from agents.linux_agent import Agent
from agents.report_server import ReportServer

REPORTS = 12
"""More than ten, so that the list of mounts is read anew."""
FOR_A_REPORT = ("curl", "date", "df", "sleep", "timeout")


def counting(agent: Agent) -> Path:
    """Put a wrapper around each program that the agent may find, which writes down its name."""
    log = agent.folder / "started"
    for tool in list(agent.tools.iterdir()):
        program = tool.resolve()
        applet = tool.name if program.name == "busybox" else ""
        tool.unlink()
        tool.write_text(f'#!/bin/sh\necho {tool.name} >>{log}\nexec {program} {applet} "$@"\n')
        tool.chmod(0o755)
    return log


async def test_a_report_and_the_pause_before_it_start_five_programs_at_the_most(
    agent: Agent, server: ReportServer
) -> None:
    log = counting(agent)
    settled = agent.with_settings(DEFIB_URL=server.url)
    script = f"""
        read_environment; choose_tool; check_server
        : >{log}
        for _ in {" x" * REPORTS}; do pause 0; report running; done
        test -z "$trouble"
    """
    done = await asyncio.to_thread(settled.sourced, script)
    assert done.code == 0, done.err
    started = Counter(log.read_text().split())
    assert started["curl"] == REPORTS
    assert started - Counter(dict.fromkeys(FOR_A_REPORT, REPORTS)) == Counter()
