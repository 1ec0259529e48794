"""Numbers that are seen out of order, or never."""

import pytest

from defib_api.events.numbering import Numbers


def test_numbers_in_order_are_done_at_once() -> None:
    numbers = Numbers(10)
    numbers.saw([11, 12, 13], oldest=100, next_one=100)
    assert (numbers.done_until, numbers.ahead) == (13, set())


def test_a_number_that_is_missing_holds_back_what_is_done() -> None:
    numbers = Numbers(10)
    numbers.saw([12, 13], oldest=100, next_one=105)
    assert (numbers.done_until, numbers.ahead) == (10, {12, 13})
    numbers.saw([11], oldest=101, next_one=106)
    assert (numbers.done_until, numbers.ahead) == (13, set())


def test_a_number_whose_transaction_failed_is_given_up_once_all_of_that_time_have_ended() -> None:
    numbers = Numbers(10)
    numbers.saw([12], oldest=100, next_one=105)
    numbers.saw([14], oldest=104, next_one=110)
    assert numbers.done_until == 10, "the transaction 104 may still bring 11"
    numbers.saw([], oldest=105, next_one=111)
    assert numbers.done_until == 12
    numbers.saw([], oldest=110, next_one=112)
    assert numbers.done_until == 12, "13 was not looked for since before 111"
    numbers.saw([], oldest=111, next_one=112)
    assert (numbers.done_until, numbers.ahead) == (14, set())


def test_what_comes_in_the_very_look_that_gives_up_is_not_lost() -> None:
    numbers = Numbers(10)
    numbers.saw([13], oldest=100, next_one=105)
    numbers.saw([11], oldest=105, next_one=106)
    assert (numbers.done_until, numbers.ahead) == (13, set())


@pytest.mark.parametrize("late", [[11], [11, 12]])
def test_one_that_is_done_already_changes_nothing(late: list[int]) -> None:
    numbers = Numbers(12)
    numbers.saw(late, oldest=100, next_one=100)
    assert (numbers.done_until, numbers.ahead) == (12, set())
