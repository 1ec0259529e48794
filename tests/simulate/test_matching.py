"""Expected and seen are matched one to one, and as many as can be."""

from defib_dev.simulate.matching import match


def within(wanted: tuple[int, int], seen: int) -> bool:
    return wanted[0] <= seen <= wanted[1]


def test_each_is_matched_once() -> None:
    assert match([(0, 10)], [5, 6], within) == ([], [6])
    assert match([(0, 10), (0, 10)], [5], within) == ([(0, 10)], [])


def test_the_order_does_not_matter() -> None:
    assert match([(7, 9), (1, 3)], [2, 8], within) == ([], [])


def test_a_wide_window_leaves_the_narrow_one_its_match() -> None:
    assert match([(0, 10), (4, 5)], [4, 9], within) == ([], [])
    assert match([(0, 10), (0, 10), (4, 5)], [4, 1, 9], within) == ([], [])


def test_nothing_expected_leaves_everything_seen() -> None:
    assert match([], [1, 2], within) == ([], [1, 2])
