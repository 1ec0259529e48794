"""API, Linux agent and Windows script held to `agents/conformance`, and that to the page."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from agents.linux_agent import Agent
from defib_api.ingest.report import Report
from defib_dev.agent_check import fixtures, serving
from defib_dev.agent_check.findings import Verdict, lines
from defib_dev.agent_check.fixtures import ANSWERS, FIELDS, AnswerCase, answer_cases
from docs.pages import ROOT, page
from support.live_stack import defib
from support.running_api import RunningApi, running_api

WINDOWS = (ROOT / "agents" / "windows" / "windows-agent.ps1").read_text()
LINUX = (ROOT / "agents" / "linux" / "linux-agent.sh").read_text()
CASES = answer_cases()


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[RunningApi]:
    async with running_api(database_url, None) as running:
        yield running


# the API


async def test_the_api_answers_every_report_and_batch_as_the_fixtures_say(api: RunningApi) -> None:
    requests = fixtures.requests({"vmid": "999"})
    assert len(requests) > 40

    def ask() -> list[str]:
        with httpx.Client(base_url=f"http://127.0.0.1:{api.port}", timeout=30) as http:
            found = list(serving.check(http, api.agent_key, requests))
        return [line for one, line in zip(found, lines(found), strict=True) if one.what]

    assert await asyncio.to_thread(ask) == []
    [vm] = (await api.get("/api/vms")).json()
    assert (vm["vmid"], vm["worstDiskMount"], vm["worstDiskPercent"]) == ("999", "/var", 90.0)


async def test_the_command_checks_a_server_and_says_which_rules_are_kept(
    api: RunningApi, tmp_path: Path
) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(api.agent_key)
    url = f"http://127.0.0.1:{api.port}"
    asked = ("agent", "check", url, "--key-file", str(key_file), "--vmid", "999")
    done = await asyncio.to_thread(defib, *asked)
    assert (done.returncode, done.stderr) == (0, "")
    assert "kept      the whole report" in done.stdout
    assert api.agent_key not in done.stdout


async def test_a_server_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("a-key")
    done = await asyncio.to_thread(
        defib, "agent", "check", "http://127.0.0.1:9", "--key-file", str(key_file)
    )
    assert done.returncode == 2
    assert "cannot ask http://127.0.0.1:9" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_answer_that_is_not_the_protocols_is_told() -> None:
    requests = {one.name: one for one in fixtures.requests({})}

    def told(name: str, status: int, body: object) -> list[str]:
        return list(serving.troubles(requests[name], serving.Said(status, body, None)))

    fine = {"success": True, "message": "thanks"}
    assert told("the whole report", 200, fine) == []
    assert "answered 500, not 200" in told("the whole report", 500, None)[0]
    assert "`success` is null" in told("the whole report", 200, {})[0]
    unnamed = {"success": False, "message": "wrong", "errors": [{"field": "vmid"}]}
    assert "does not name cpuUsage" in told("CPU above 100", 400, unnamed)[0]
    batch = {"success": True, "accepted": 3, "rejected": []}
    assert len(told("batch: a wrong one harms no other", 200, batch)) == 2


def test_a_server_that_is_busy_for_ever_is_not_called_wrong() -> None:
    waits: list[float] = []
    busy = httpx.MockTransport(lambda _: httpx.Response(429, headers={"Retry-After": "7"}))
    with httpx.Client(base_url="http://defib", transport=busy) as http:
        [found] = serving.check(http, "key", fixtures.requests({})[:1], waits.append)
    assert found.verdict is Verdict.NOT_SEEN
    assert waits == [7] * serving.TRIES


# the agents


def bounds_of(agent: Agent, case: AnswerCase) -> tuple[int, int]:
    """The shortest and the longest wait of the Linux agent after an answer."""
    settled = agent.with_settings(SAID=case.body, RETRY=case.retry_after or "0")
    done = settled.sourced(f"""
        vmid=100 url=https://defib reported_name=web-server-01
        read_key() {{ return 0; }}
        code={case.status or "000"} interval=30
        for phase in 0 7 29; do
            for highest in yes ''; do
                draw() {{ drawn=0; [ -z "$highest" ] || drawn=$(($1 - 1)); }}
                for now in 1000000 1000013 1000029; do
                    answer=$(printf 'HTTP/1.1 200 OK\\nRetry-After: %s\\n' "$RETRY")
                    before=$code
                    read_answer
                    code=$before said=$SAID failures={case.failures}
                    settle
                    echo "$wait_for"
                done
            done
        done
    """)
    assert done.code == 0, done.err
    waits = [int(one) for one in done.out.split()]
    return min(waits), max(waits)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_linux_agent_waits_as_the_fixtures_say(agent: Agent, case: AnswerCase) -> None:
    lowest, highest = bounds_of(agent, case)
    shortest, longest = case.wait
    if case.then == "slot":
        assert shortest <= lowest <= highest <= longest
    else:
        assert (lowest, highest) == (shortest, longest)


CHAIN = re.compile(r"(?:if|elseif) \((\$code .*)\) \{\n((?:.*\n)*?)    \} ", re.MULTILINE)
WAITS = {
    "60 + (Get-Draw 6)": "minute",
    "(Get-BackOff $State) + (Get-RetryAfter $Answer.RetryAfter)": "retry-after",
    "Get-NextSlot $State $Now": "slot",
    "Get-BackOff $State": "back-off",
}
POWERSHELL = {"$code": "code", "-eq": "==", "-ge": ">=", "-lt": "<", "-or": "or", "-and": "and"}


def windows_then(case: AnswerCase) -> str:
    """Which wait the text of the Windows script chooses: its conditions, read as ours."""
    if case.status == 200 and re.search(r'"success"\s*:\s*true', case.body):
        assert "if (Test-Accepted $Answer) { Set-Accepted $State $Now; return }" in WINDOWS
        return "slot"
    text = WINDOWS[WINDOWS.index("function Set-Wait") : WINDOWS.index("function Set-Accepted")]
    for condition, block in CHAIN.findall(text):
        translated = condition
        for theirs, ours in POWERSHELL.items():
            translated = translated.replace(theirs, ours)
        if eval(translated, {"__builtins__": {}}, {"code": case.status}):
            return wait_in(block)
    return wait_in(text[text.index("} else {") :])


def wait_in(block: str) -> str:
    found = re.search(r"\$State\.Wait = (.+)\n", block)
    assert found is not None
    return WAITS[found[1]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_text_of_the_windows_agent_chooses_the_wait_of_the_fixtures(case: AnswerCase) -> None:
    assert windows_then(case) == case.then


def test_the_windows_agents_waits_are_as_long_as_the_fixtures_say() -> None:
    for line in (
        "    1 + (Get-Draw $most)",
        "[Math]::Min($State.Interval, [Math]::Pow(2, [Math]::Min(10, $State.Failures)))",
        "if ($Header -match '^[0-9]{1,3}$' -and [int]$Header -le 120) { return [int]$Header }",
        "$drawn = Get-Draw ([int][Math]::Floor($State.Interval / 10) + 1)",
    ):
        assert line in WINDOWS
    assert "$State.Failures++" in WINDOWS[WINDOWS.index("function Set-Wait") :][:200]


def test_both_agents_keep_and_send_as_many_samples_as_the_fixtures_say() -> None:
    told = fixtures.load(ANSWERS)
    assert f"kept_most={told['keptMost']} batch={told['batchMost']} " in LINUX
    assert re.search(rf"^\$KeptMost = {told['keptMost']}$", WINDOWS, re.MULTILINE)
    assert f"Batch = {told['batchMost']};" in WINDOWS


def test_each_field_is_one_of_the_api_the_page_and_the_agents_that_send_it() -> None:
    told = fixtures.load(FIELDS)["fields"]
    names = [one["name"] for one in told]
    assert sorted(names) == sorted(Report.__struct_encode_fields__)
    rows = page("agents/PROTOCOL.md").section("Fields").rows
    on_page = {name for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert on_page == set(names)
    required = {name for row in rows if row[2] == "yes" for name in re.findall(r"`(\w+)`", row[0])}
    assert required == {one["name"] for one in told if one["required"]}
    sent = set(re.findall(r"^    (?:\[.*\] \|\| )?put_(?:text|number) (\w+) ", LINUX, re.MULTILINE))
    assert sent == {one["name"] for one in told if one["linux"]}
    windows = set(re.findall(r"\$report\.(\w+) = |\$Report\.(\w+) = ", WINDOWS))
    by_name = {name for pair in windows for name in pair if name}
    by_name |= set(re.findall(r"Add-Disk \$Report '(\w+)'", WINDOWS))
    by_name |= set(re.findall(r"Add-Disk \$Report '\w+' '(\w+)'", WINDOWS)) | {"hostname"}
    assert by_name == {one["name"] for one in told if one["windows"]}
