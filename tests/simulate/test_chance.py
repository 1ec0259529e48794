"""Random scenarios: the same for the same seed, and none breaks an invariant."""

from pathlib import Path

from defib_dev.simulate.chance import scenario_text
from defib_dev.simulate.many import keep, play_seeds
from defib_dev.simulate.parse import parse_scenario, read_scenario


def test_a_seed_always_makes_the_same_scenario_and_every_one_can_be_read() -> None:
    texts = [scenario_text(seed) for seed in range(200)]
    assert texts == [scenario_text(seed) for seed in range(200)]
    assert len(set(texts)) == len(texts)
    for one in texts:
        parse_scenario(one)


def test_a_kept_scenario_is_the_one_that_was_played(tmp_path: Path) -> None:
    file = keep(7, tmp_path / "made" / "on the way")
    assert read_scenario(file) == parse_scenario(scenario_text(7))


def test_several_processes_play_every_seed_once() -> None:
    played = list(play_seeds(range(1, 4), jobs=2))
    assert sorted(one.seed for one in played) == [1, 2, 3]
