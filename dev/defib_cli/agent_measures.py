"""`defib agent cost`, `figures` and `herd`: what our own agent costs, whether it is right.

Heavy modules are imported by the command itself: `--help` must be quick.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

import defib_dev

if TYPE_CHECKING:
    from defib_dev.agent_check.cost import Cost
    from defib_dev.agent_check.script import Spread

SHELLS = ("dash", "bash", "busybox")
CHECKOUT = Path(defib_dev.__file__).parents[2]
PAGE = CHECKOUT / "agents" / "README.md"
Say = Callable[[str], None]

Shell = Annotated[str, typer.Option(help="dash, bash, busybox or sh.")]
WriteDocs = Annotated[
    bool, typer.Option("--write-docs", help="Put the table into agents/README.md.")
]
Page = Annotated[Path, typer.Option(help="For --write-docs.", show_default="agents/README.md")]


def cost(
    *,
    shell: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    reports: Annotated[int, typer.Option(help="How many to send in a run.", min=1)] = 100,
    write_docs: WriteDocs = False,
    page: Page = PAGE,
) -> None:
    """Measure what a report of the Linux agent costs: CPU with all its children, and memory.

    A run for each shell over http, and one over https. For figures worth keeping let nothing else
    run meanwhile.
    """
    from defib_dev.agent_check.cost import Over, measure, seconds_for  # noqa: PLC0415 - see above

    runs = [(one, over) for one in shell or SHELLS for over in Over]
    with _measuring() as say:
        on = _measured_on()
        took = seconds_for(len(runs), reports)
        say(f"{len(runs)} runs of {reports} reports: about {took} s, longer on a busy machine")
        found = []
        for number, (one, over) in enumerate(runs, 1):
            say(f"{number} of {len(runs)}: {one} over {over}")
            told = _in_quarters(reports, say)
            found.append(asyncio.run(measure(one, reports, over, told=told)))
        _show(_costs(found), say, "cost", on, page if write_docs else None)


def _in_quarters(reports: int, say: Say) -> Callable[[int], None]:
    step = max(1, reports // 4)

    def told(done: int) -> None:
        if done % step == 0 and done < reports:
            say(f"  {done} of {reports} reports")

    return told


def _costs(found: "Sequence[Cost]") -> list[tuple[str, ...]]:
    return [
        ("shell", "over", "CPU for a report", "at one in 30 s", "memory between", "at the most"),
        *(
            (
                one.shell,
                str(one.over),
                f"{one.cpu:.1f} ms",
                f"{one.share(30):.3f} % of a core",
                f"{one.resting.resident:.1f} MB ({one.resting.divided:.1f})",
                f"{one.peak.resident:.1f} MB ({one.peak.divided:.1f})",
            )
            for one in found
        ),
    ]


def figures(
    *,
    shell: Shell = "sh",
    seconds: Annotated[float, typer.Option(help="How long to measure.", min=1)] = 30,
    load: Annotated[int, typer.Option(help="Shells that spin meanwhile.", min=0, max=64)] = 0,
    write_docs: WriteDocs = False,
    page: Page = PAGE,
) -> None:
    """Show the Linux agent's figures beside psutil's, of this machine over the same seconds.

    With --write-docs twice: with nothing else, and with a shell that spins for each core.
    """
    from defib_dev.agent_check.figures import compare  # noqa: PLC0415 - see the docstring

    loads = [0, os.cpu_count() or 1] if write_docs else [load]
    rows: list[tuple[str, ...]] = [("figure", "shells that spin", "agent", "psutil", "difference")]
    with _measuring() as say:
        on = _measured_on() if write_docs else ""
        for number, spinning in enumerate(loads, 1):
            say(f"{number} of {len(loads)}: {seconds:g} s, with {spinning} shells that spin")
            rows += [
                (
                    f"{one.name} ({one.unit})",
                    str(spinning),
                    f"{one.agent:.1f}",
                    f"{one.psutil:.1f}",
                    f"{one.difference:+.1f}",
                )
                for one in compare(seconds, load=spinning, shell=shell)
            ]
        _show(rows, say, "figures", on, page if write_docs else None)


def herd(
    *,
    agents: Annotated[int, typer.Option(help="How many VMs.", min=1, max=100_000)] = 1000,
    outage: Annotated[int, typer.Option(help="Seconds of the outage.", min=1)] = 600,
    interval: Annotated[int, typer.Option(help="Seconds.", min=1, max=120)] = 30,
    shell: Shell = "sh",
    write_docs: WriteDocs = False,
    page: Page = PAGE,
) -> None:
    """Show how agents spread that start at once, and how they come back after an outage.

    The agent's own functions, in virtual time: nothing is sent, and no machine's speed is in it.
    """
    from defib_dev.agent_check import script  # noqa: PLC0415 - see the docstring
    from defib_dev.bench import machine  # noqa: PLC0415 - same

    with _measuring() as say:
        say(f"1 of 2: the starts of {agents} agents, in virtual time; some seconds a thousand")
        started = script.started_together(agents, interval, shell)
        say(f"2 of 2: the way back of {agents} agents after {outage} s")
        back = script.after_outage(agents, outage, interval, shell)
        _tell_spread("started in one second", started)
        _tell_spread(f"after an outage of {outage} s", back)
        if write_docs:
            rows = _spreads({"started in one second": started, f"back after {outage} s": back})
            _put(rows, say, "herd", f"{machine.in_a_line(CHECKOUT)}, in virtual time", page)


def _tell_spread(what: str, spread: "Spread") -> None:
    typer.echo(
        f"{what}: {spread.agents} agents, the last after {spread.last} s;"
        f" at most {spread.busiest} in a second, {spread.mean:.0f} on average"
    )
    peak = spread.busiest
    for second in range(spread.last + 1):
        count = spread.seconds[second]
        typer.echo(f"{second:4} s {count:6} {'#' * round(50 * count / peak)}")


def _spreads(spreads: "dict[str, Spread]") -> list[tuple[str, ...]]:
    return [
        ("agents", "what happened", "the last one after", "most in a second", "on average"),
        *(
            (str(one.agents), what, f"{one.last} s", str(one.busiest), f"{one.mean:.0f}")
            for what, one in spreads.items()
        ),
    ]


@contextmanager
def _measuring() -> Iterator[Say]:
    """Say how far it is, on standard error; what is wrong becomes a line and exit 2."""
    from rich.console import Console  # noqa: PLC0415 - see the docstring

    from defib_cli.bench_command import sayer  # noqa: PLC0415 - same
    from defib_dev.components.errors import ComponentError  # noqa: PLC0415 - same

    # An end like any other: the agent that is measured, and its folder, go.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield sayer(Console(stderr=True, soft_wrap=True))
    except ComponentError as error:
        _refuse(str(error))
    except TimeoutError:
        _refuse("the agent sent no report for a minute, so there is nothing to measure")


def _measured_on() -> str:
    """The machine, the commit, and whether others were at work before anything of ours was."""
    from defib_dev.bench import machine  # noqa: PLC0415 - see the docstring

    others = machine.disturbance()["busy_percent_of_a_core_before"]
    return f"{machine.in_a_line(CHECKOUT)}; other programs took {others} % of a core"


def _show(rows: list[tuple[str, ...]], say: Say, name: str, on: str, page: Path | None) -> None:
    """Print the table, and put it into the page where one is named."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        typer.echo("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)))
    if page is not None:
        _put(rows, say, name, on, page)


def _put(rows: list[tuple[str, ...]], say: Say, name: str, on: str, page: Path) -> None:
    from defib_dev.bench.publish import put_between  # noqa: PLC0415 - see the docstring

    head, *others = (f"| {' | '.join(row)} |" for row in rows)
    lines = [f"{on}.", "", head, "|---" * len(rows[0]) + "|", *others, ""]
    put_between(page, marks(name), "\n".join(lines))
    say(f"Table: {page}")


def marks(name: str) -> tuple[str, str]:
    """The lines in the page between which a command writes."""
    return (
        f"<!-- {name}: begin (written by `defib agent {name} --write-docs`) -->",
        f"<!-- {name}: end -->",
    )


def _refuse(message: str) -> NoReturn:
    typer.echo(f"defib agent: {message}", err=True)
    raise typer.Exit(2)
