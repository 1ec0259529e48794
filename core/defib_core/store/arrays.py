"""Columns of a batch as PostgreSQL's array literals: the driver's own way costs more than all else.

JSON in the main: the two differ in brackets, and in what they do with a backslash.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

T = TypeVar("T")
_encoder = msgspec.json.Encoder()


def array(values: Sequence[T]) -> str | Sequence[T]:
    """Write numbers, words or moments, None among them, as a literal.

    Words with a backslash, or what JSON escapes by one, are left to the driver.
    """
    encoded = _encoder.encode(values)
    if b"\\" in encoded:
        return values
    return "{" + encoded[1:-1].decode() + "}"
