"""Results for people: tables on a terminal, and the same in Markdown."""

from rich.console import Console
from rich.table import Table

from defib_dev.bench.figures import Figure, Section, Target, Verdict
from defib_dev.bench.results import Results

COLUMNS = ("What", "Median", "Least to most", "n", "Beside it, in the same run", "Target")
COLOURS = {Verdict.AIM: "green", Verdict.LEAST: "yellow", Verdict.MISSED: "red"}
QUIET_PERCENT = 10.0
"""Of one core: above it, programs of others were at work, and the figures say less."""


def show(results: Results, console: Console) -> None:
    """Print everything."""
    for section in results.sections:
        title = f"{section.title}   [dim]{_conditions(section)}"
        table = Table(*COLUMNS, title=title, title_justify="left", title_style="bold")
        for column in (1, 2, 3):
            table.columns[column].justify = "right"
        for figure in section.figures:
            cells = _cells(figure, results)
            colour = None if figure.verdict is None else COLOURS[figure.verdict]
            table.add_row(*cells, style=colour)
        console.print(table)
    for title, lines in (("Left out", results.left_out), ("FAULTS", results.faults)):
        for line in lines:
            console.print(f"{title}: {line}", highlight=False, markup=False)
    console.print(disturbed(results), highlight=False, markup=False)


def markdown(section: Section, results: Results) -> str:
    """One part of a run: its table, what it was measured on, and what spoke against the run."""
    conditions = _conditions(section)
    lines = [f"{conditions[0].upper()}{conditions[1:]}.", ""] if conditions else []
    lines += [_measured_on(results), "", disturbed(results), ""]
    lines += [_row(COLUMNS), "|---|--:|--:|--:|---|---|"]
    lines += [_row(_cells(figure, results)) for figure in section.figures]
    for title, said in (("Left out", results.left_out), ("Went wrong", results.faults)):
        lines += ["", f"{title}:", "", *(f"- {one}" for one in said)] if said else []
    return "\n".join(lines)


def cells_of(line: str) -> list[str]:
    """What is in a row of such a table; nothing where the line is none."""
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [cell.strip() for cell in inner.split(" | ")] if line.startswith("|") else []


def _measured_on(results: Results) -> str:
    machine = results.machine
    return (
        f"Measured {results.started[:10]} at commit `{machine.get('commit')}`, "
        f"{results.mode} run of {results.seconds / 60:.1f} minutes, everything on one machine: "
        f"{machine.get('cores')} cores ({machine.get('processor')}), "
        f"{machine.get('memory_gib')} GiB, {machine.get('system')}, "
        f"{machine.get('filesystem')} with {machine.get('fsync_ms')} ms a sync; "
        f"PostgreSQL {machine.get('postgresql_server_version')} "
        f"(fsync {machine.get('postgresql_fsync')}), {machine.get('cache')}, "
        f"Python {machine.get('python')}."
    )


def disturbed(results: Results) -> str:
    """Whether others were at work meanwhile, which belongs to the figures."""
    others = results.figure("ingest.others")
    worst = float(results.machine.get("busy_percent_of_a_core_before", 0.0))
    if others is not None:
        worst = max(worst, *others.repeats)
    if worst > QUIET_PERCENT:
        return (
            f"The machine was NOT quiet: other programs took up to {worst:.0f} % of a core. "
            "Read ratios, not rates."
        )
    return f"The machine was quiet: other programs took at most {worst:.0f} % of a core."


def number(value: float) -> str:
    """Three digits that mean something; whole from a hundred on."""
    if value == 0:
        return "0"
    if abs(value) >= 100:  # noqa: PLR2004 - see above
        return f"{value:,.0f}"
    if abs(value) >= 10:  # noqa: PLR2004
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3g}"  # noqa: PLR2004


def _cells(figure: Figure, results: Results) -> tuple[str, ...]:
    least, most = number(min(figure.repeats)), number(max(figure.repeats))
    return (
        figure.what,
        f"{number(figure.median)} {figure.unit}",
        f"{least} to {most}" if len(figure.repeats) > 1 else "",
        f"{figure.n:,}",
        _beside(figure, results),
        _against(figure.target, figure.verdict),
    )


def _beside(figure: Figure, results: Results) -> str:
    reference = None if figure.reference is None else results.figure(figure.reference)
    if reference is None:
        return ""
    return f"{reference.what}: {number(reference.median)} {reference.unit}"


def _against(target: Target | None, verdict: Verdict | None) -> str:
    if target is None or verdict is None:
        return ""
    if target.least == target.aim:
        return f"{number(target.least)}: {'reached' if verdict is Verdict.AIM else 'missed'}"
    bound = "at least" if target.higher_is_better else "at most"
    return f"{bound} {number(target.least)}, aim {number(target.aim)}: {verdict.value}"


def _conditions(section: Section) -> str:
    said = (
        f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in section.conditions.items()
    )
    return ", ".join(said)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
