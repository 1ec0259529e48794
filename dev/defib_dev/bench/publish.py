"""Puts results into a page of the documentation, between two marks; the rest of it stays."""

from pathlib import Path

from defib_dev.bench import tables
from defib_dev.bench.figures import BenchError
from defib_dev.bench.results import Results

BEGIN = "<!-- figures: begin (written by `defib dev bench --write-docs`) -->"
END = "<!-- figures: end -->"


def publish(results: Results, page: Path) -> None:
    """Replace what is between the marks; raise BenchError where they are not there."""
    try:
        text = page.read_text()
    except OSError as error:
        raise BenchError(f"{page} cannot be read: {error}") from error
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchError(f"{page} must hold these two lines, in this order:\n{BEGIN}\n{END}")
    page.write_text(f"{before}{BEGIN}\n\n{tables.markdown(results)}\n{END}{after}")
