"""`defib agent check --listen`: the real agent keeps every rule; one that does not is told."""

import asyncio
import json
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from agents.linux_agent import make_agent
from defib_dev.agent_check import rules
from defib_dev.agent_check.findings import Finding, Verdict, are_kept, lines
from defib_dev.agent_check.listening import STEPS, Script, listen
from defib_dev.agent_check.record import BATCH, REPORT, Exchange
from defib_dev.agent_check.rules import Expected

PATIENT = Expected(interval=1, retry_after=2, grace=60, quick=True)
STRICT = Expected(interval=30, retry_after=20)
BODY = {"hostname": "a", "cpuUsage": 1.5, "ramUsage": 1, "ramTotal": 2, "vmid": "100"}
GOODBYE = json.dumps({**BODY, "status": "stopping"}).encode()


async def test_the_linux_agent_keeps_every_rule_that_can_be_seen(tmp_path: Path) -> None:
    agent = make_agent("dash", tmp_path)
    steps: list[str] = []
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    told_to_stop = asyncio.Event()

    def say(line: str) -> None:
        steps.append(line)
        if line == STEPS["stop"]:
            told_to_stop.set()

    listening = asyncio.create_task(
        listen(PATIENT, 0, say=say, started=started.set_result, patience=240)
    )
    url = f"http://127.0.0.1:{await started}"
    running = agent.with_settings(DEFIB_URL=url, DEFIB_INTERVAL="1")
    async with running.started() as process:
        await asyncio.wait_for(told_to_stop.wait(), 240)
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.communicate(), 60)
    found = rules.judge(await listening, PATIENT)
    assert are_kept(found), lines(found)
    assert steps == [text for step, text in STEPS.items() if step != "refused"]


def exchange(
    step: str, came: float, *, status: int = 200, path: str = REPORT, **more: object
) -> Exchange:
    body = {**BODY, **more} if path == REPORT else more
    headers = {"content-type": "application/json", "x-api-key": "a-key"}
    return Exchange(step, path, headers, json.dumps(body).encode(), came, came, status)


def a_day() -> list[Exchange]:
    """What a good agent does, with an interval of 30 s."""
    batch = {"reports": [{**BODY, "ageSeconds": age} for age in (60, 30)]}
    return [
        *(exchange("accepted", 30.0 * number) for number in range(4)),
        exchange("outage", 120, status=500),
        exchange("outage", 123, status=500),
        exchange("outage", 150, status=500),
        exchange("back", 170),
        exchange("back", 171, path=BATCH, **batch),
        exchange("busy", 200, status=503),
        exchange("redirect", 223, status=307),
        exchange("refused", 240, status=401),
        exchange("stop", 303),
        replace(exchange("stop", 320), body=GOODBYE),
    ]


def broken(seen: Sequence[Exchange]) -> list[Finding]:
    return [one for one in rules.judge(seen, STRICT) if one.verdict is Verdict.BROKEN]


def test_a_good_agent_breaks_no_rule() -> None:
    assert are_kept(rules.judge(a_day(), STRICT))


def changed(place: int, **fields: object) -> list[Exchange]:
    day = a_day()
    day[place] = replace(day[place], **fields)  # type: ignore[arg-type]  # fields of any type
    return day


PATH, BATCH_AT, BUSY_NEXT, AFTER_REDIRECT, AFTER_REFUSED, LAST = "/elsewhere", 8, 10, 10, 12, 13


@pytest.mark.parametrize(
    ("seen", "rule"),
    [
        (changed(0, headers={"content-type": "text/plain", "x-api-key": "k"}), "JSON"),
        (changed(0, body=b"cpu=1"), "JSON"),
        (changed(0, headers={"content-type": "application/json"}), "X-API-Key"),
        (changed(0, body=json.dumps({**BODY, "key": "a-key"}).encode()), "X-API-Key"),
        (changed(0, body=json.dumps({**BODY, "cpuUsage": "1.5"}).encode()), "figures are numbers"),
        (changed(0, body=json.dumps({**BODY, "cpuUsage": 101}).encode()), "figures are numbers"),
        (changed(0, body=json.dumps({"hostname": "a"}).encode()), "figures are numbers"),
        (changed(3, came=40.0), "every 30 s"),
        (changed(5, came=120.1), "500"),
        (changed(6, came=300.0), "500"),
        (changed(BATCH_AT, body=json.dumps({"reports": []}).encode()), "oldest first"),
        (
            changed(
                BATCH_AT,
                body=json.dumps({"reports": [{"ageSeconds": 1}, {"ageSeconds": 9}]}).encode(),
            ),
            "oldest first",
        ),
        (changed(BATCH_AT - 1, status=500), "oldest first"),
        (changed(BUSY_NEXT, came=205.0), "Retry-After"),
        (changed(AFTER_REFUSED - 1, path=PATH), "redirect"),
        (changed(AFTER_REFUSED, came=270.0), "once a minute"),
        (changed(LAST, body=json.dumps(BODY).encode()), "stopping"),
    ],
)
def test_an_agent_that_breaks_a_rule_is_told_which(seen: list[Exchange], rule: str) -> None:
    found = broken(seen)
    assert any(rule in one.rule for one in found), lines(found)


def test_what_was_not_seen_is_not_called_kept() -> None:
    found = rules.judge([], STRICT)
    assert {one.verdict for one in found} == {Verdict.NOT_SEEN}
    assert not are_kept(found)


def test_the_script_leads_through_every_step_in_order() -> None:
    steps: list[str] = []
    script = Script(Expected(interval=10, retry_after=20), steps.append)
    now = 0.0
    for _ in range(60):
        now += 10
        script.answer(REPORT, BODY, now)
    assert steps == list(STEPS.values())
    assert not script.is_over
    assert script.answer(REPORT, {**BODY, "status": "stopping"}, now + 1).status == 200
    assert script.is_over
