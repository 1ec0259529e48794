"""A place in a sorted list, as text for the next request: behind which VM it goes on.

It names the last VM shown by what it was sorted by, so it stays true while VMs come and go.
"""

import base64
import binascii
from typing import Any

import msgspec

from defib_api.fleet.finding import Ordering

Key = tuple[float | str, str, int]
"""What it is sorted by, then its name, then its number."""


class BadCursor(Exception):
    """The text is no cursor of ours, or one of a list that was sorted in another way."""


def write(order: Ordering, key: Key) -> str:
    """Write the place behind a VM."""
    packed = msgspec.json.encode([str(order), _finite(key[0]), key[1], key[2]])
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read(order: Ordering, text: str) -> Key:
    """Read a place; raises BadCursor."""
    try:
        packed = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        said: Any = msgspec.json.decode(packed)
        how, value, hostname, vm_id = said
    except (ValueError, TypeError, UnicodeError, binascii.Error, msgspec.DecodeError) as error:
        raise BadCursor("is not one that this API gave out") from error
    if how != str(order):
        raise BadCursor(f"belongs to a list sorted by {str(how)[:20]!r}; ask without it first")
    if not isinstance(hostname, str) or type(vm_id) is not int:
        raise BadCursor("is not one that this API gave out")
    return _full(value, order), hostname, vm_id


def _finite(value: float | str) -> float | str | None:
    return None if isinstance(value, float) and value in {float("inf"), float("-inf")} else value


def _full(value: Any, order: Ordering) -> float | str:  # noqa: ANN401 - as wide as JSON
    if value is None:
        return unknown(order)
    wants_text = order.by in {"hostname", "node"}
    if isinstance(value, bool) or not isinstance(value, str if wants_text else (int, float)):
        raise BadCursor("is not one that this API gave out")
    return value


def unknown(order: Ordering) -> float:
    """Stand for a figure that is not known: last, whichever way the list is sorted."""
    return float("-inf") if order.reverse else float("inf")
