"""Of the many that a brake holds a few are looked at in each sweep, and none is passed over."""

import random
from collections.abc import Sequence

from defib_operator.sweep import CHECKED_AT_ONCE, in_turn


def rounds(braked: Sequence[int], number: int) -> list[Sequence[int]]:
    """What is looked at in so many sweeps, one after the other."""
    after, chosen = 0, list[Sequence[int]]()
    for _ in range(number):
        chosen.append(in_turn(braked, after, CHECKED_AT_ONCE))
        after = chosen[-1][-1]
    return chosen


def test_all_are_looked_at_before_the_first_is_again() -> None:
    braked = range(100, 130)
    first, second, third, fourth = rounds(braked, 4)
    assert [*first, *second, *third, *fourth[:6]] == list(braked)
    assert list(fourth[6:]) == [100, 101]


def test_few_are_looked_at_in_each_sweep_once() -> None:
    assert rounds([3, 1, 2], 2) == [[1, 2, 3], [1, 2, 3]]
    assert in_turn([], 7, CHECKED_AT_ONCE) == []


def test_one_that_stays_is_looked_at_however_many_come_and_go() -> None:
    chance = random.Random(7)
    everybody, after = range(1, 401), 0
    for stays in (1, 200, 400):
        passed = 0
        while True:
            crowd = sorted({stays, *chance.sample(everybody, chance.randint(10, 390))})
            chosen = in_turn(crowd, after, CHECKED_AT_ONCE)
            after, passed = chosen[-1], passed + 1
            if stays in chosen:
                break
            assert passed <= len(everybody) / CHECKED_AT_ONCE + 1
