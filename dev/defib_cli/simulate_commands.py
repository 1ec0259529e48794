"""`defib simulate`: run scenarios through the production code on a virtual clock.

Heavy modules are imported by the command itself: `--help` must be quick.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from defib_dev.simulate.scenario import Scenario

FAILED, NO_SCENARIO = 1, 2


def simulate(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE_OR_DIR...", help="Scenarios, or folders of them."),
    ] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a scenario, on a line of its own.")
    ] = False,
    trace: Annotated[
        bool, typer.Option("--trace", help="Every transition, hold and reset, as JSON lines.")
    ] = False,
    invariants: Annotated[
        bool, typer.Option("--invariants", help="Hold them to the invariants as well.")
    ] = False,
    random: Annotated[
        int, typer.Option("--random", min=0, metavar="N", help="Make up N scenarios instead.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the first of these.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="How many are played at once.")] = 1,
    keep_in: Annotated[
        Path, typer.Option(metavar="DIR", help="Where those that break an invariant are written.")
    ] = Path("broken-invariants"),
) -> None:
    """Play scenarios and say which expectations do not hold (exit 1); see docs/scenarios.md."""
    if bool(random) == bool(paths):
        _refuse(["give files or folders, or --random N"])
    if random:
        _play_random(range(seed, seed + random), jobs, keep_in, as_json=as_json)
        return
    from defib_dev.simulate.finding import Unreadable, find_scenarios  # noqa: PLC0415 - see the docstring

    try:
        found = find_scenarios(paths or [])
    except Unreadable as error:
        _refuse(error.complaints)
    failed = _play(found, as_json=as_json, trace=trace, invariants=invariants)
    if failed:
        raise typer.Exit(FAILED)


def _play(
    found: list[tuple[Path, "Scenario"]], *, as_json: bool, trace: bool, invariants: bool
) -> int:
    """Play each, and say what came of it; return how many failed."""
    from defib_dev.components.errors import ComponentError  # noqa: PLC0415 - same
    from defib_dev.simulate import report  # noqa: PLC0415 - same
    from defib_dev.simulate.database import running_database  # noqa: PLC0415 - same
    from defib_dev.simulate.finding import complaint  # noqa: PLC0415 - same
    from defib_dev.simulate.reading import NotAScenario  # noqa: PLC0415 - same
    from defib_dev.simulate.run import simulate as play  # noqa: PLC0415 - same

    failed = 0
    try:
        with running_database() as database:
            for file, scenario in found:
                try:
                    outcome = play(scenario, database, invariants=invariants)
                except NotAScenario as error:
                    _refuse([complaint(file, error)])
                failed += not outcome.passed
                lines = [*(report.as_trace(outcome) if trace else ())]
                lines += [report.as_json(outcome)] if as_json else report.as_text(outcome)
                print("\n".join(lines), flush=True)
    except ComponentError as error:
        _refuse([str(error)])
    if not as_json:
        print(f"{len(found) - failed} of {len(found)} scenarios passed", flush=True)
    return failed


def _play_random(seeds: range, jobs: int, keep_in: Path, *, as_json: bool) -> None:
    """Play what chance makes up; exit 1 where an invariant was broken."""
    from defib_dev.components.errors import ComponentError  # noqa: PLC0415 - same
    from defib_dev.simulate import report  # noqa: PLC0415 - same
    from defib_dev.simulate.many import Tally, keep, play_seeds  # noqa: PLC0415 - same

    tally = Tally(len(seeds))
    try:
        for played in play_seeds(seeds, jobs):
            tally.count(played)
            file = keep(played.seed, keep_in) if played.violations else None
            if as_json:
                print(report.played_as_json(played, file), flush=True)
            elif file is not None or tally.is_worth_a_line:
                print("\n".join(report.played_as_text(played, file, tally)), flush=True)
    except ComponentError as error:
        _refuse([str(error)])
    if not as_json:
        print(tally.told(seeds), flush=True)
    if tally.broken:
        raise typer.Exit(FAILED)


def _refuse(complaints: list[str]) -> NoReturn:
    for line in complaints:
        typer.echo(f"defib simulate: {line}", err=True)
    raise typer.Exit(NO_SCENARIO)
