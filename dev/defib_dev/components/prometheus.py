"""Prometheus and promtool, built from `dev/prometheus` into the user's cache; only tests need them.

`require` only looks; `obtain` builds when it must.
"""

from dataclasses import dataclass
from pathlib import Path

from defib_dev.components import go_build
from defib_dev.components.cache import Report
from defib_dev.components.errors import MissingComponentError
from defib_dev.components.go_build import MODULE, GoModule, Recipe

RECIPE = Recipe(
    MODULE.parent / "prometheus",
    {
        "prometheus": "github.com/prometheus/prometheus/cmd/prometheus",
        "promtool": "github.com/prometheus/prometheus/cmd/promtool",
    },
    "leave the suite `metrics` out: nothing but tests needs Prometheus",
    tags=("remove_all_sd",),
)


@dataclass(frozen=True, slots=True)
class PrometheusPrograms:
    """Where the two are."""

    prometheus: Path
    promtool: Path


def require(name: str) -> Path:
    """One of the programs, without building it: for tests."""
    program = GoModule.load(RECIPE).program(name)
    if not program.exists():
        raise MissingComponentError(
            name,
            looked_in=("the per-user cache",),
            remedy="defib dev prometheus (builds it from source, once per user)",
        )
    return program


def obtain(report: Report) -> PrometheusPrograms:
    """Both programs, built when they are nowhere: minutes of both cores, once per user."""
    module = GoModule.load(RECIPE)
    go_build.ensure(module, ("promtool", "prometheus"), report=report)
    return PrometheusPrograms(module.program("prometheus"), module.program("promtool"))
