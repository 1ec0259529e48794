"""Every scenario under tests/scenarios holds: the production code on a virtual clock."""

from pathlib import Path

import pytest

from defib_dev.simulate.database import SimulatedDatabase
from defib_dev.simulate.parse import read_scenario
from defib_dev.simulate.run import simulate

FOLDER = Path(__file__).resolve().parent.parent / "scenarios"
FILES = sorted(FOLDER.rglob("*.yaml"))
LEAST = 100


@pytest.mark.parametrize("file", FILES, ids=[f"{file.parent.name}/{file.stem}" for file in FILES])
def test_every_expectation_of_the_scenario_holds(
    file: Path, simulated_database: SimulatedDatabase
) -> None:
    outcome = simulate(read_scenario(file), simulated_database)
    assert not outcome.failures, "\n".join(map(str, outcome.failures))


def test_there_are_more_than_a_hundred_scenarios() -> None:
    assert len(FILES) > LEAST


@pytest.mark.parametrize("file", FILES, ids=[f"{file.parent.name}/{file.stem}" for file in FILES])
def test_a_scenario_is_named_after_its_file_and_says_in_a_sentence_what_it_proves(
    file: Path,
) -> None:
    scenario = read_scenario(file)
    assert scenario.name == file.stem
    assert scenario.about.endswith(".")
