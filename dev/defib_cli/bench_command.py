"""`defib dev bench`: measure Defib on real parts, beside references from the same run.

Heavy modules are imported by the command itself: `--help` must be quick.
"""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import defib_dev
from defib_dev.components.errors import ComponentError

CHECKOUT = Path(defib_dev.__file__).parents[2]
RESULTS = CHECKOUT / "bench-results"
PAGE = CHECKOUT / "docs" / "performance.md"


def bench(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Smaller, in under five minutes.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="ingest, sweep, reads, history, operator, page, safety; may be repeated."
        ),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(help="How long to watch the page's memory.", min=0)
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Where the results go.", show_default="bench-results/latest.json")
    ] = (RESULTS / "latest.json"),
    earlier: Annotated[
        Path | None,
        typer.Option("--from", help="Measure nothing: take the results of an earlier run."),
    ] = None,
    write_docs: Annotated[
        bool, typer.Option("--write-docs", help="Put the tables into the page.")
    ] = False,
    page: Annotated[
        Path, typer.Option(help="For --write-docs.", show_default="docs/performance.md")
    ] = PAGE,
) -> None:
    """Measure rates, latencies and costs on this machine; exit 1 where something went wrong.

    Starts its own PostgreSQL (fsync on), Valkey and API on loopback and stops them again. For
    figures worth keeping let nothing else run meanwhile.
    """
    from defib_dev.bench import results, tables  # noqa: PLC0415 - see the docstring
    from defib_dev.bench.plan import FULL, QUICK  # noqa: PLC0415 - same
    from defib_dev.bench.publish import publish  # noqa: PLC0415 - same
    from defib_dev.bench.run import run  # noqa: PLC0415 - same

    progress = Console(stderr=True)
    # An end like any other: the servers and their folder go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        if earlier is not None:
            found = results.load(earlier)
        else:
            plan = QUICK if quick else FULL
            if minutes is not None:
                plan = plan.watching(minutes)
            found = run(plan, only or [], CHECKOUT, sayer(progress))
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(results.to_json(found))
            progress.print(f"Results: {out}", highlight=False)
        tables.show(found, Console(width=None if Console().is_terminal else 160))
        if write_docs:
            publish(found, page)
            progress.print(f"Tables:  {page}", highlight=False)
    except ComponentError as error:
        progress.print(f"\n{error}", style="red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1) from error
    if found.faults:
        raise typer.Exit(1)


def sayer(console: Console) -> Callable[[str], None]:
    """Say what is being measured, with the time since the beginning. No line moves by itself.

    A live display would take CPU from what is measured.
    """
    began = time.monotonic()

    def say(line: str) -> None:
        console.print(f"[{time.monotonic() - began:4.0f} s] {line}", markup=False, highlight=False)

    return say
