"""The chart's files that are made: README, schema, and the copy of the definitions."""

from pathlib import Path

import defib_dev
from defib_dev.chart import values as reading
from defib_dev.chart.readme import readme_of
from defib_dev.chart.schema import as_text, schema_of

CHECKOUT = Path(defib_dev.__file__).parents[2]
CHART = CHECKOUT / "helm" / "defib"


def made(chart: Path = CHART) -> dict[Path, str]:
    """What each made file should hold."""
    values = reading.read(chart / "values.yaml")
    definitions = {
        chart / "crds" / file.name: file.read_text()
        for file in sorted((CHECKOUT / "crds").glob("*.yaml"))
    }
    return {
        chart / "README.md": readme_of(values),
        chart / "values.schema.json": as_text(schema_of(values)),
        **definitions,
    }


def outdated(chart: Path = CHART) -> list[Path]:
    """The made files that are missing or hold something else."""
    return [
        file for file, text in made(chart).items() if not file.exists() or file.read_text() != text
    ]


def write(chart: Path = CHART) -> list[Path]:
    """Bring the made files up to date; return those that were not."""
    stale = outdated(chart)
    texts = made(chart)
    for file in stale:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(texts[file])
    return stale
