"""One run of the bench: start the servers, measure what is asked for, gather the results."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError

from defib_dev.bench import (
    history,
    ingest,
    machine,
    operating,
    page,
    reading,
    safety,
    servers,
    sweeping,
)
from defib_dev.bench.bench import Bench, Say
from defib_dev.bench.figures import BenchError, Section
from defib_dev.bench.plan import Plan
from defib_dev.bench.results import Results
from defib_dev.components.errors import ComponentError

MEASUREMENTS: Mapping[str, Callable[[Bench], Section | None]] = {
    "ingest": ingest.measure,
    "sweep": sweeping.measure,
    "reads": reading.measure,
    "history": history.measure,
    "operator": operating.measure,
    "page": page.measure,
    "safety": safety.measure,
}


def run(plan: Plan, only: Sequence[str], checkout: Path, say: Say) -> Results:
    """Measure; `only` names measurements, and none means all. Raises ComponentError."""
    unknown = sorted(set(only) - MEASUREMENTS.keys())
    if unknown:
        raise BenchError(
            f"there is no measurement {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}"
        )
    began, started = monotonic(), machine.now_text()
    before = machine.disturbance()
    say(f"{plan.mode} run, at most {plan.seconds / 60:.0f} minutes; starting the servers")
    with servers.running(plan.postgres) as running:
        bench = Bench(plan, running, say, began)
        described = machine.describe(running.folder, checkout) | before | dict(running.versions())
        sections = [_measure(bench, name) for name in only or MEASUREMENTS]
    return Results(
        mode=plan.mode,
        started=started,
        seconds=round(monotonic() - began, 1),
        machine=described,
        sections=[one for one in sections if one is not None],
        faults=bench.faults,
        left_out=bench.left_out,
    )


def _measure(bench: Bench, name: str) -> Section | None:
    """Measure one; where that fails, the others are still worth having."""
    try:
        return MEASUREMENTS[name](bench)
    except (ComponentError, SQLAlchemyError) as error:
        bench.fault(f"{name} was given up: {error}")
        return None
