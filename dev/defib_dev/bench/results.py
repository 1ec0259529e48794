"""The results of a run as JSON, and back; `FORMAT` is raised when their shape changes."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from defib_dev.bench.figures import BenchError, Figure, Section, Target

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Results:
    """Everything that one run says."""

    mode: str
    """`full` or `quick`."""
    started: str
    """UTC, ISO 8601."""
    seconds: float
    machine: dict[str, str | int | float]
    sections: list[Section]
    faults: list[str]
    left_out: list[str]

    def figure(self, key: str) -> Figure | None:
        """The figure of that key."""
        every = (figure for section in self.sections for figure in section.figures)
        return next((figure for figure in every if figure.key == key), None)


def to_json(results: Results) -> str:
    """Write results down; each figure with its least, median and greatest repeat."""
    written = asdict(results)
    for section, measured in zip(written["sections"], results.sections, strict=True):
        section["figures"] = [_figure(figure) for figure in measured.figures]
    return json.dumps({"format": FORMAT, **written}, indent=2) + "\n"


def load(file: Path) -> Results:
    """Read results back; raise BenchError where these are none."""
    try:
        written = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise BenchError(f"{file} cannot be read: {error}") from error
    if not isinstance(written, dict) or written.pop("format", None) != FORMAT:
        raise BenchError(
            f"{file} holds no results of this version's bench; make some: defib dev bench --out "
            f"{file}"
        )
    sections = [
        Section(**{**section, "figures": [_read(figure) for figure in section["figures"]]})
        for section in written.pop("sections")
    ]
    return Results(sections=sections, **written)


def _figure(figure: Figure) -> dict[str, Any]:
    verdict = figure.verdict
    return {
        **asdict(figure),
        "min": min(figure.repeats),
        "median": figure.median,
        "max": max(figure.repeats),
        "verdict": None if verdict is None else verdict.value,
    }


def _read(written: dict[str, Any]) -> Figure:
    target = written["target"]
    return Figure(
        key=written["key"],
        what=written["what"],
        unit=written["unit"],
        repeats=tuple(written["repeats"]),
        n=written["n"],
        reference=written["reference"],
        target=None if target is None else Target(**target),
    )
