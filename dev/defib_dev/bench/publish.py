"""Puts results into a page of the documentation, part by part: what was not measured stays.

Between two marks the page holds a heading, and the table below it, for each part. Each says when,
at which commit and on what it was measured. The table of capacity is reckoned anew from them all.
"""

from pathlib import Path

from defib_dev.bench import capacity, tables
from defib_dev.bench.figures import BenchError
from defib_dev.bench.plan import QUICK
from defib_dev.bench.results import Results

BEGIN = "<!-- figures: begin (written by `defib dev bench --write-docs`) -->"
END = "<!-- figures: end -->"
SOAK = (
    "<!-- soak: begin (written by `defib dev soak --write-docs`) -->",
    "<!-- soak: end -->",
)
HEADING = "### "


def publish(results: Results, page: Path, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Put each part of the run in the place of what the page says of it.

    Raises BenchError, and leaves the page as it is, where the marks are not there once each, a part
    is there twice, or a quick run would take the place of a full one.
    """
    try:
        old = page.read_text()
    except OSError as error:
        raise BenchError(f"{page} cannot be read: {error}") from error
    before, text, after = _taken_apart(old, marks, page)
    parts = _parts(text, page)
    for section in results.sections:
        _refuse_less(results.mode, section.title, parts.get(section.title), page)
        parts[section.title] = tables.markdown(section, results)
    parts.pop(capacity.TITLE, None)
    reckoned = capacity.markdown(lambda title, what: _median(parts.get(title, ""), what))
    if reckoned is not None:
        parts[capacity.TITLE] = reckoned
    blocks = [f"{HEADING}{title}\n\n{body}\n" for title, body in parts.items()]
    page.write_text("\n".join([f"{before}{marks[0]}\n", *blocks, f"{marks[1]}{after}"]))


def put_between(page: Path, marks: tuple[str, str], text: str) -> None:
    """Replace all that is between the marks; raise BenchError where they are not there."""
    try:
        old = page.read_text()
    except OSError as error:
        raise BenchError(f"{page} cannot be read: {error}") from error
    before, _, after = _taken_apart(old, marks, page)
    page.write_text(f"{before}{marks[0]}\n\n{text}\n{marks[1]}{after}")


def _taken_apart(old: str, marks: tuple[str, str], page: Path) -> tuple[str, str, str]:
    first, last = marks
    before, begin, rest = old.partition(first)
    between, end, after = rest.partition(last)
    if not begin or not end or first in after or last in after:
        raise BenchError(
            f"{page} must hold these two lines once each, in this order:\n{first}\n{last}"
        )
    return before, between, after


def _parts(text: str, page: Path) -> dict[str, str]:
    """What is below each heading."""
    head, *blocks = f"\n{text}".split(f"\n{HEADING}")
    if head.strip():
        raise BenchError(
            f"{page} says something before the first heading of its figures, and would lose it: "
            f"{head.strip()[:80]!r}. Move it below the heading that it belongs to"
        )
    parts: dict[str, str] = {}
    for block in blocks:
        title, _, body = block.partition("\n")
        if title.strip() in parts:
            raise BenchError(f"{page} has the heading {title.strip()!r} twice; take one away")
        parts[title.strip()] = body.strip()
    return parts


def _refuse_less(mode: str, title: str, old: str | None, page: Path) -> None:
    if mode == QUICK.mode and old and f"{QUICK.mode} run" not in old:
        raise BenchError(
            f"{title} in {page} is of a full run, which a quick one does not replace. Measure it "
            "without --quick, or take the part out of the page first"
        )


def _median(body: str, what: str) -> float | None:
    """The median of the row of that name; None where there is no such row, or no number in it."""
    rows = (tables.cells_of(line) for line in body.splitlines())
    found = next((cells[1] for cells in rows if len(cells) > 1 and cells[0] == what), "")
    try:
        return float(found.split(" ")[0].replace(",", ""))
    except ValueError:
        return None
