"""Figures of safety that other suites wrote down, shown beside those of speed; none, no section.

The file holds `{"figures": [{"key", "what", "unit", "value", "n"}, ...]}`: counts of what must not
happen, over so many occasions. Nothing is measured here.
"""

import json
from pathlib import Path

from defib_dev.bench.figures import BenchError, Section


def read(file: Path) -> Section | None:
    """Read the figures; None where there is no such file."""
    if not file.exists():
        return None
    section = Section("safety", "Safety", {"source": file.name})
    try:
        for one in json.loads(file.read_text())["figures"]:
            value = [float(one["value"])]
            section.add(one["key"], one["what"], one["unit"], value, n=int(one["n"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(
            f"{file} does not hold figures as bench/safety.py says: {error!r}"
        ) from error
    return section if section.figures else None
