"""Array literals: PostgreSQL reads back what was written, whatever is in the words."""

from datetime import UTC, datetime

import pytest

from defib_core.store.arrays import array
from support.stored import Stored


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bigint", [1, None, -(2**63), 2**63 - 1]),
        ("float8", [0.0, None, 1e-9, 1e300, 45.2]),
        ("timestamptz", [datetime(2024, 2, 29, 23, 59, 59, 123456, UTC), None]),
        ("text", ["a", None, "null", "NULL", "", " a b ", "{a,b}", "(,)", "'", "ä€😀"]),
        ("text", ['"', "\\", "\\n", "\n", "\t", "\u2028", "a\\"]),
        ("text", []),
    ],
)
async def test_postgresql_reads_back_what_was_written(
    stored: Stored, kind: str, values: list[object]
) -> None:
    cursor = await stored.hot.execute(f"SELECT %s::{kind}[]".encode(), [array(values)])
    row = await cursor.fetchone()
    assert row is not None
    assert row[0] == values
