"""What an outage hides from the server is sent afterwards, in batches; too much is forgotten."""

import asyncio
import json
import signal
from typing import Any

import pytest

from agents.linux_agent import Agent
from agents.report_server import Answer, ReportServer
from support.waiting import eventually_async

ACCEPTED = 'code=200 said=\'{"success": true, "accepted": 1, "rejected": []}\' retry_after=0'
STARTED = """
    vmid=100 url=https://defib interval=30 wait_for=17
    keep() { uptime=$1 payload="{\\"cpuUsage\\":$1}"; keep_report; }
"""


def answered(answer: str) -> str:
    return f"""
        post() {{ printf '%s %s\\n' "$1" "$payload" >&3; {answer}; }}
        exec 3>&1
    """


def batches(out: str) -> list[Any]:
    lines = [line for line in out.splitlines() if line.startswith("/api/health/reports ")]
    return [json.loads(line.split(" ", 1)[1])["reports"] for line in lines]


def test_kept_samples_are_sent_oldest_first_with_their_age(agent: Agent) -> None:
    done = agent.sourced(f"""{STARTED}{answered(ACCEPTED)}
        keep 1000; keep 1030; keep 1060
        uptime=1100; replay
        echo "left: $kept_count"
    """)
    assert done.code == 0, done.err
    assert batches(done.out) == [
        [
            {"cpuUsage": 1000, "ageSeconds": 100},
            {"cpuUsage": 1030, "ageSeconds": 70},
            {"cpuUsage": 1060, "ageSeconds": 40},
        ]
    ]
    assert "left: 0" in done.out


def test_one_sample_an_interval_is_kept_however_often_it_is_tried(agent: Agent) -> None:
    done = agent.sourced(f"""{STARTED}{answered(ACCEPTED)}
        for second in 1000 1004 1012 1028 1031 1040 1060; do keep $second; done
        uptime=1100; replay
    """)
    assert [one["cpuUsage"] for one in batches(done.out)[0]] == [1000, 1028, 1060]


def test_only_the_newest_hour_is_kept_and_goes_out_in_batches(agent: Agent) -> None:
    done = agent.sourced(f"""{STARTED}{answered(ACCEPTED)}
        n=0; while [ "$n" -lt 200 ]; do n=$((n + 1)); keep $((n * 30)); done
        uptime=7000
        while [ "$kept_count" -gt 0 ]; do replay; done
    """)
    sent = batches(done.out)
    assert [len(one) for one in sent] == [30, 30, 30, 30]
    assert sent[0][0]["cpuUsage"] == 81 * 30
    assert sent[-1][-1]["cpuUsage"] == 200 * 30


@pytest.mark.parametrize("answer", ["code=503 retry_after=40 said=''", "code=000 said=''"])
def test_a_batch_that_could_not_be_stored_is_kept(agent: Agent, answer: str) -> None:
    done = agent.sourced(f"""{STARTED}{answered("retry_after=0; " + answer)}
        keep 1000; uptime=1030; replay; echo "$kept_count $wait_for"
    """)
    assert done.out.splitlines()[-1] == ("1 40" if "503" in answer else "1 17")


def test_a_server_without_batches_is_asked_once(agent: Agent) -> None:
    done = agent.sourced(f"""{STARTED}{answered("code=404 retry_after=0 said=''")}
        keep 1000; uptime=1030; replay; keep 1060; replay; echo "$kept_count"
    """)
    assert done.out.splitlines()[-1] == "0"
    assert len(batches(done.out)) == 1
    assert "takes no batches" in done.err


def test_a_batch_that_is_too_large_is_halved(agent: Agent) -> None:
    done = agent.sourced(f"""{STARTED}{answered("code=413 retry_after=0 said=''")}
        n=0; while [ "$n" -lt 40 ]; do n=$((n + 1)); keep $((n * 30)); done
        uptime=2000; for _ in 1 2 3 4 5 6; do replay; done; echo "$kept_count"
    """)
    assert [len(one) for one in batches(done.out)] == [30, 15, 7, 3, 1, 1]
    assert done.out.splitlines()[-1] == "38"


async def test_after_an_outage_the_samples_follow_the_first_accepted_report(
    agent: Agent, server: ReportServer
) -> None:
    server.answers.extend([Answer(500, '{"success": false, "message": "broken"}')] * 3)
    running = agent.with_settings(DEFIB_URL=server.url, DEFIB_INTERVAL="1")
    async with running.started() as process:

        async def replayed() -> bool:
            return bool(server.batches)

        await eventually_async(replayed, what="the kept samples", deadline_seconds=60)
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 30)
    first = server.received.index(server.batches[0])
    assert server.received[first - 1].path == "/api/health/report"
    assert first >= 4
    kept = server.batches[0].report["reports"]
    assert all(one["ageSeconds"] >= 0 and "cpuUsage" in one for one in kept)
    ages = [one["ageSeconds"] for one in kept]
    assert ages == sorted(ages, reverse=True)
