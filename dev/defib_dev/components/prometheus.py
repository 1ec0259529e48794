"""Prometheus and promtool, built from `dev/prometheus` into the user's cache; only tests need them.

`find` only looks; `obtain` builds when it must.
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


def find() -> PrometheusPrograms | None:
    """Both programs, or None where they would have to be built."""
    found = _programs(GoModule.load(RECIPE))
    return found if found.prometheus.exists() and found.promtool.exists() else None


def require() -> PrometheusPrograms:
    """Both programs, without building: for tests."""
    found = find()
    if found is None:
        raise MissingComponentError(
            "Prometheus and promtool",
            looked_in=("the per-user cache",),
            remedy="defib dev prometheus (builds them from source, once per user)",
        )
    return found


def obtain(report: Report) -> PrometheusPrograms:
    """Both programs, built when they are nowhere: minutes of both cores, once per user."""
    module = GoModule.load(RECIPE)
    go_build.ensure(module, ("promtool", "prometheus"), report=report)
    return _programs(module)


def _programs(module: GoModule) -> PrometheusPrograms:
    return PrometheusPrograms(module.program("prometheus"), module.program("promtool"))
