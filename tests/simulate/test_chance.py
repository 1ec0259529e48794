"""Random scenarios: the same for the same seed, and none breaks an invariant."""

import multiprocessing
import multiprocessing.queues
import os
from pathlib import Path

import pytest

from defib_dev.simulate.chance import scenario_text
from defib_dev.simulate.database import SimulatedDatabase
from defib_dev.simulate.many import Died, Played, keep, next_of, play_seed, play_seeds
from defib_dev.simulate.parse import parse_scenario, read_scenario

SEEDS = range(1, 7)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_scenario_breaks_no_invariant(
    seed: int, simulated_database: SimulatedDatabase
) -> None:
    assert play_seed(seed, simulated_database).violations == ()


def test_a_seed_always_makes_the_same_scenario_and_every_one_can_be_read() -> None:
    texts = [scenario_text(seed) for seed in range(60)]
    assert texts == [scenario_text(seed) for seed in range(60)]
    assert len(set(texts)) == len(texts)
    for one in texts:
        parse_scenario(one)


def test_a_kept_scenario_is_the_one_that_was_played(tmp_path: Path) -> None:
    file = keep(7, tmp_path / "made" / "on the way")
    assert read_scenario(file) == parse_scenario(scenario_text(7))


def test_several_processes_play_every_seed_once() -> None:
    played = list(play_seeds(range(1, 4), jobs=2))
    assert sorted(one.seed for one in played) == [1, 2, 3]


def test_a_process_that_ends_before_its_last_result_is_noticed() -> None:
    context = multiprocessing.get_context("spawn")
    player = context.Process(target=os._exit, args=(3,))
    player.start()
    nothing: multiprocessing.queues.Queue[Played | Died] = context.Queue()
    with pytest.raises(RuntimeError, match="has ended"):
        next_of(nothing, [player])
    player.join()
