"""`defib simulate` as people and scripts call it: exit codes, JSON, trace."""

import json
import subprocess
import sys
from pathlib import Path

GOOD = """\
name: one-is-reset
about: One VM is reset.
fleet: [{prefix: web-, count: 4, vmid: 100, node: pve1}]
events: [{at: 2m, silence: [web-1]}]
until: 12m
expect: {resets: [{vm: web-1, at: 6m..8m, outcome: succeeded, recovered: true}]}
"""
FAILING = GOOD.replace("one-is-reset", "nobody-is-reset").replace(
    "resets: [{vm: web-1, at: 6m..8m, outcome: succeeded, recovered: true}]", "resets: []"
)


def defib_simulate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "defib_cli.main", "simulate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_exit_0_when_every_expectation_holds(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    answer = defib_simulate(file)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.splitlines() == ["ok    one-is-reset", "1 of 1 scenarios passed"]
    assert answer.stderr == ""


def test_exit_1_with_time_expected_and_seen_when_one_does_not(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "deeper" / "b.yaml").write_text(FAILING)
    answer = defib_simulate(tmp_path)
    assert answer.returncode == 1, answer.stderr
    lines = answer.stdout.splitlines()
    assert lines[0] == "ok    one-is-reset"
    assert lines[1] == "FAIL  nobody-is-reset"
    assert lines[2].startswith("      at 6m")
    assert lines[3] == "         expected: no reset of web-1"
    assert lines[4].startswith("         seen:     Reset of web-1 at 6m")
    assert lines[-1] == "1 of 2 scenarios passed"


def test_json_is_one_object_a_scenario_on_a_line_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text(FAILING)
    answer = defib_simulate("--json", tmp_path / "a.yaml", tmp_path / "b.yaml")
    assert answer.returncode == 1, answer.stderr
    passed, failed = (json.loads(line) for line in answer.stdout.splitlines())
    assert list(passed) == ["name", "passed", "failures", "resets", "transitions", "holds"]
    assert (passed["name"], passed["passed"], passed["failures"]) == ("one-is-reset", True, [])
    reset = passed["resets"][0]
    assert (reset["vm"], reset["action"], reset["outcome"]) == ("web-1", "Reset", "succeeded")
    assert reset["recovered"] is True
    assert [one["to"] for one in passed["transitions"] if one["vm"] == "web-1"] == [
        "healthy",
        "down",
        "healthy",
    ]
    assert {one["reason"] for one in passed["holds"]} == {"BackOff"}
    assert failed["passed"] is False
    assert set(failed["failures"][0]) == {"time", "expected", "seen"}


def test_trace_tells_every_transition_hold_and_reset_with_the_virtual_time(tmp_path: Path) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD)
    answer = defib_simulate("--trace", "--json", file)
    assert answer.returncode == 0, answer.stderr
    *trace, result = (json.loads(line) for line in answer.stdout.splitlines())
    assert {one["event"] for one in trace} == {"transition", "hold", "reset"}
    assert [one["seconds"] for one in trace] == sorted(one["seconds"] for one in trace)
    assert len([one for one in trace if one["event"] == "transition"]) == len(result["transitions"])
    assert all(one["scenario"] == "one-is-reset" and one["time"] and one["vm"] for one in trace)


def test_exit_2_with_line_and_reason_for_what_is_no_scenario(tmp_path: Path) -> None:
    good, bad, worse = tmp_path / "good.yaml", tmp_path / "bad.yaml", tmp_path / "worse.yaml"
    good.write_text(GOOD)
    bad.write_text(GOOD.replace("silence", "silense"))
    worse.write_text("name: [")
    answer = defib_simulate(good, bad, worse)
    assert answer.returncode == 2
    assert answer.stdout == ""
    first, second = answer.stderr.splitlines()
    assert f"{bad}:4: unknown key 'silense'" in first
    assert f"{worse}:1: this is not YAML" in second


def test_exit_2_for_nothing_to_play(tmp_path: Path) -> None:
    answer = defib_simulate(tmp_path)
    assert answer.returncode == 2
    assert "there is no scenario here" in answer.stderr
    missing = defib_simulate(tmp_path / "missing.yaml")
    assert missing.returncode == 2
    assert "cannot be read" in missing.stderr


def test_exit_2_for_an_event_that_turns_out_to_be_impossible(tmp_path: Path) -> None:
    file = tmp_path / "impossible.yaml"
    lines = GOOD.splitlines()
    lines[3] = "events: [{at: 1m, proxmox: {vm: web-1, exists: false}}, {at: 2m, silence: [web-1]}]"
    file.write_text("\n".join(lines))
    answer = defib_simulate(file)
    assert answer.returncode == 2
    assert f"{file}:4: this cannot happen: there is no guest 101" in answer.stderr
