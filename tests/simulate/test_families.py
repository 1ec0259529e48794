"""Every scenario of the repository holds, run as a user runs them: `defib simulate`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIOS = Path(__file__).parents[1] / "scenarios"
FAMILIES = sorted(folder.name for folder in SCENARIOS.iterdir() if folder.is_dir())
MOST_SECONDS = 1500


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "defib_cli.main", "simulate", *arguments],
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )


@pytest.mark.timeout(MOST_SECONDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_scenario_of_a_family_holds(family: str) -> None:
    files = list((SCENARIOS / family).glob("*.yaml"))
    ran = simulate("--json", str(SCENARIOS / family))

    verdicts = [json.loads(line) for line in ran.stdout.splitlines()]
    assert {one["name"]: one["failures"] for one in verdicts if not one["passed"]} == {}
    assert len(verdicts) == len(files) > 0, ran.stderr
    assert ran.returncode == 0


def test_every_scenario_says_what_it_proves() -> None:
    silent = [
        file.name
        for file in SCENARIOS.rglob("*.yaml")
        if not any(line.startswith("about:") for line in file.read_text().splitlines())
    ]
    assert silent == []


def test_an_expectation_that_does_not_hold_is_exit_1(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(
        "name: wrong\nabout: It expects a reset of a VM that is well.\n"
        "fleet: [{name: web-01, vmid: 100, node: pve1}]\nuntil: 10m\n"
        "expect: {resets: [{vm: web-01, at: 1m..9m}]}\n"
    )
    ran = simulate(str(file))

    assert ran.returncode == 1
    assert "web-01" in ran.stdout


def test_a_file_that_is_no_scenario_is_exit_2_with_line_and_reason(tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text("name: odd\nabout: It has an unknown key.\nfleets: []\nuntil: 10m\n")
    ran = simulate(str(file))

    assert ran.returncode == 2
    assert f"{file}:3:" in ran.stderr
    assert "fleets" in ran.stderr
