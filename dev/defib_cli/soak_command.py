"""`defib dev soak`: load the real API for long, and see that nothing grows and nothing is lost.

Heavy modules are imported by the command itself: `--help` must be quick.
"""

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from defib_cli.bench_command import CHECKOUT, PAGE, RESULTS, sayer
from defib_dev.components.errors import ComponentError


def soak(
    *,
    minutes: Annotated[float, typer.Option(help="How long.", min=0.05, max=24 * 60)] = 10.0,
    rate: Annotated[float, typer.Option(help="Reports a second.", min=1, max=50_000)] = 3333.0,
    out: Annotated[
        Path, typer.Option(help="Where the results go.", show_default="bench-results/soak.json")
    ] = (RESULTS / "soak.json"),
    write_docs: Annotated[
        bool, typer.Option("--write-docs", help="Put the table into docs/performance.md.")
    ] = False,
) -> None:
    """Send reports on schedule; exit 1 where one is missing or something grows without bound.

    A VM for each thirtieth of a second of the rate, the real API, PostgreSQL (fsync on) and Valkey,
    housekeeping on its timer, a dashboard that reads. All of it is stopped and removed afterwards.
    """
    from defib_dev.bench import results, tables  # noqa: PLC0415 - see the docstring
    from defib_dev.bench.publish import SOAK, publish  # noqa: PLC0415 - same
    from defib_dev.bench.soak import SoakPlan, run  # noqa: PLC0415 - same

    progress = Console(stderr=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        found = run(SoakPlan(minutes, rate), CHECKOUT, sayer(progress))
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(results.to_json(found))
        tables.show(found, Console(width=None if Console().is_terminal else 160))
        progress.print(f"Results: {out}", highlight=False)
        if write_docs:
            publish(found, PAGE, SOAK)
    except ComponentError as error:
        progress.print(f"\n{error}", style="red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1) from error
    if found.faults:
        raise typer.Exit(1)
