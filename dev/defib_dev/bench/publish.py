"""Puts results into a page of the documentation, between two marks; the rest of it stays."""

from pathlib import Path

from defib_dev.bench import tables
from defib_dev.bench.figures import BenchError
from defib_dev.bench.results import Results

BEGIN = "<!-- figures: begin (written by `defib dev bench --write-docs`) -->"
END = "<!-- figures: end -->"
SOAK = (
    "<!-- soak: begin (written by `defib dev soak --write-docs`) -->",
    "<!-- soak: end -->",
)


def publish(results: Results, page: Path, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Write them between the marks; raise BenchError where these are not there."""
    put_between(page, marks, tables.markdown(results))


def put_between(page: Path, marks: tuple[str, str], text: str) -> None:
    """Replace what is between the marks; raise BenchError where they are not there."""
    first, last = marks
    try:
        old = page.read_text()
    except OSError as error:
        raise BenchError(f"{page} cannot be read: {error}") from error
    before, begin, rest = old.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise BenchError(f"{page} must hold these two lines, in this order:\n{first}\n{last}")
    page.write_text(f"{before}{first}\n\n{text}\n{last}{after}")
