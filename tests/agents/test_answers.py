"""What each answer means for the next report: the state machine, on a clock of our own."""

import re
from collections import Counter
from itertools import pairwise

import pytest

from agents.linux_agent import Agent

ACCEPTED = 'code=200 said=\'{"success": true, "message": "Health report received for a"}\''
REPLACED = """
    vmid=100 url=https://defib reported_name=web-server-01 payload={}
    read_key() { return 0; }
    now=1000000
"""


def settle(agent: Agent, answer: str, *, interval: int = 30, failures: int = 0) -> tuple[int, str]:
    """The wait after one answer, and what was said; draws come out highest."""
    done = agent.sourced(f"""{REPLACED}
        draw() {{ drawn=$(($1 - 1)); }}
        interval={interval} failures={failures} retry_after=0 said=''
        {answer}
        settle
        echo "$wait_for"
    """)
    assert done.code == 0, done.err
    return int(done.out), done.err


def test_accepted_reports_keep_to_the_vms_own_second(agent: Agent) -> None:
    done = agent.sourced(f"""{REPLACED}
        draw() {{ drawn=0; }}
        {ACCEPTED} phase=17
        for now in 1000000 1000001 1000016 1000017 1000029 1000030 5; do
            settle; echo $(((now + wait_for) % 30)) $wait_for
        done
    """)
    slots = [line.split() for line in done.out.splitlines()]
    assert {slot for slot, _ in slots} == {"17"}
    assert all(1 <= int(wait) <= 30 for _, wait in slots)


def test_the_jitter_is_at_most_a_tenth_of_the_interval(agent: Agent) -> None:
    done = agent.sourced(f"""{REPLACED}
        {ACCEPTED} phase=10
        for _ in{" x" * 100}; do settle; echo $((wait_for - 30 + (now - phase) % 30)); done
    """)
    assert set(done.out.split()) == {"0", "1", "2", "3"}


def test_a_fleet_started_at_once_spreads_over_the_interval(agent: Agent) -> None:
    fleet = " ".join(str(vmid) for vmid in range(100, 400))
    done = agent.sourced(f"""{REPLACED}
        for vmid in {fleet}; do choose_phase; echo "$phase"; done
    """)
    seconds = Counter(done.out.split())
    assert len(seconds) == 30
    assert max(seconds.values()) <= 30  # 10 on average; evenly thrown, 30 is out of reach


def test_the_phase_is_the_same_after_every_start(agent: Agent) -> None:
    script = f"{REPLACED} choose_phase; echo $phase"
    assert agent.sourced(script).out == agent.sourced(script).out


def test_the_phase_is_the_hash_of_who_it_is(agent: Agent) -> None:
    odd = "we b!\"#$%&'()*+,-.:;<=>?@[\\]^_`{|}~Az09"
    done = agent.with_settings(ODD=odd).sourced("""
        smbios=4c4c vmid=100 reported_name=$ODD interval=1000000; choose_phase; echo "$phase"
    """)
    phase = 5381
    for character in f"4c4c/100/{odd}":
        phase = (phase * 33 + ord(character)) % 1000003
    assert done.out == f"{phase % 1000000}\n"


@pytest.mark.parametrize(
    ("failures", "longest"), [(0, 2), (1, 4), (2, 8), (3, 16), (4, 30), (9, 30), (1000, 30)]
)
def test_back_off_doubles_up_to_the_interval(agent: Agent, failures: int, longest: int) -> None:
    wait, _ = settle(agent, "code=500", failures=failures)
    assert wait == longest


def test_back_off_is_drawn_from_the_whole_range(agent: Agent) -> None:
    done = agent.sourced(f"""{REPLACED}
        failures=9; for _ in{" x" * 400}; do back_off; echo "$wait_for"; done
    """)
    waits = {int(one) for one in done.out.split()}
    assert min(waits) == 1
    assert max(waits) == 30
    assert len(waits) >= 28


@pytest.mark.parametrize("code", [401, 403])
def test_a_refused_key_slows_down_to_once_a_minute_and_goes_on(agent: Agent, code: int) -> None:
    wait, said = settle(agent, f"code={code} key_file=/etc/defib/agent.key")
    assert 60 <= wait <= 65
    assert f"refuses the key in /etc/defib/agent.key ({code})" in said


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_waited_for_and_the_back_off_comes_on_top(agent: Agent, code: int) -> None:
    wait, said = settle(agent, f"code={code} retry_after=20", failures=2)
    assert wait == 20 + 8
    assert f"cannot take reports now ({code})" in said


def test_a_refused_report_is_sent_again_in_its_own_second(agent: Agent) -> None:
    wait, said = settle(agent, 'code=400 phase=10 said=\'{"message":"vmid is missing"}\'')
    assert wait == 30 - (1000000 - 10) % 30 + 3
    assert "vmid is missing" in said


@pytest.mark.parametrize(
    "answer",
    ["code=200 said=''", "code=200 said='{\"login\": true}'", "code=301", "code=307"],
)
def test_an_answer_that_is_not_defibs_counts_as_a_failure(agent: Agent, answer: str) -> None:
    _, said = settle(agent, answer)
    assert "is not Defib's; is DEFIB_URL right?" in said


def test_a_trouble_is_said_once_then_on_change_and_when_it_is_over(agent: Agent) -> None:
    done = agent.sourced(f"""{REPLACED}
        for _ in 1 2 3; do code=000 said='curl: (7) Failed to connect after $_ ms'; settle; done
        for _ in 1 2; do code=500 said=''; settle; done
        for _ in 1 2; do code=400 said='{{"message":"cpuUsage is wrong; got '$_'"}}'; settle; done
        for _ in 1 2; do {ACCEPTED}; settle; done
    """)
    said = done.err.splitlines()
    assert len(said) == 4
    assert "cannot reach https://defib: curl: (7)" in said[0]
    assert "the server failed (500)" in said[1]
    assert "cpuUsage is wrong; got 1" in said[2]
    assert "accepted again, after 7 that were not" in said[3]


def test_what_a_server_says_cannot_hurt_a_terminal_or_fill_a_log(agent: Agent) -> None:
    _, escaped = settle(agent, "code=400 said=$(printf '{\\033[2Jgone}')")
    assert "\x1b" not in escaped
    _, long = settle(agent, f"code=400 said='{{{'x' * 5000}}}'")
    assert len(long) < 600


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ('HTTP/1.1 200 OK\r\n\r\n{"success":true}\ndefib-status: 200', '200 0 {"success":true}'),
        ("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\n\r\n{}\ndefib-status: 503", "503 7 {}"),
        ("HTTP/2 429\r\nretry-after: 9\r\n\r\n\ndefib-status: 429", "429 9 "),
        ("HTTP/1.1 503 Busy\nRetry-After: 86400\n", "503 120 "),
        ("HTTP/1.1 503 Busy\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\n", "503 120 "),
        ("HTTP/1.1 503 Busy\nRetry-After: -1\n", "503 120 "),
        # A proxy that opened the way, and a server whose certificate was then refused.
        (
            "HTTP/1.1 200 Connected\r\n\r\ncurl: (60) SSL certificate problem\ndefib-status: 000",
            "000 0 curl: (60) SSL certificate problem",
        ),
        ("  HTTP/1.1 401 Unauthorized\n  Retry-After: 3\n{}http://x:\n", "401 3 {}http://x:"),
        ("curl: (6) Could not resolve host", "000 0 curl: (6) Could not resolve host"),
        ("", "000 0 "),
    ],
)
def test_answers_of_curl_and_wget_are_read(agent: Agent, answer: str, expected: str) -> None:
    asked = agent.with_settings(ANSWER=answer)
    done = asked.sourced('answer=$ANSWER; read_answer; echo "$code $retry_after $said"')
    assert done.out == f"{expected}\n"


def test_ten_minutes_of_outage_are_survived_without_a_burst(agent: Agent) -> None:
    done = agent.sourced(f"""{REPLACED}
        phase=7 outage_ends=1000900
        read_clock() {{ now=$clock; }}
        clock=1000000
        pause() {{ clock=$((clock + $1)); [ "$clock" -lt 1001200 ] || exit 0; }}
        post() {{
            code=000 retry_after=0 said='curl: (7) refused'
            [ "$clock" -ge 1000300 ] && [ "$clock" -lt "$outage_ends" ] || {{ {ACCEPTED}; }}
            echo "$clock $code"
        }}
        read_hostname() {{ :; }}
        choose_phase() {{ :; }}
        measure_cpu() {{ cpu=1.0 new_ticks=1 new_idle=1; }}
        measure_ram() {{ ram_used=1 ram_total=2; }}
        measure_disk() {{ disk_used=1 disk_total=2; }}
        run_on
    """)
    assert done.code == 0, done.err
    sent = [(int(at), code) for at, code in re.findall(r"(\d+) (\d{3})", done.out)]
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(sent)]
    assert max(gaps) <= 33
    during = [at for at, code in sent if code == "000"]
    assert 600 / 30 <= len(during) <= 600 / 8
    after = [at for at, _ in sent if at >= 1000960]
    assert all((at - 7) % 30 <= 3 for at in after)
    assert len(done.err.splitlines()) == 3
