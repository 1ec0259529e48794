"""Matches what was expected with what was seen, one to one and in any order. Pure."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Expected = TypeVar("Expected")
Seen = TypeVar("Seen")


def match(
    expected: Sequence[Expected], seen: Sequence[Seen], fits: Callable[[Expected, Seen], bool]
) -> tuple[list[Expected], list[Seen]]:
    """Match as many as can be; return what is left of both."""
    candidates = [
        [number for number, one in enumerate(seen) if fits(wanted, one)] for wanted in expected
    ]
    taken_by: dict[int, int] = {}

    def place(wanted: int, tried: set[int]) -> bool:
        for number in candidates[wanted]:
            if number in tried:
                continue
            tried.add(number)
            if number not in taken_by or place(taken_by[number], tried):
                taken_by[number] = wanted
                return True
        return False

    unmet = [one for number, one in enumerate(expected) if not place(number, set())]
    return unmet, [one for number, one in enumerate(seen) if number not in taken_by]
