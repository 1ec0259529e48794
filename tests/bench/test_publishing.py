"""Results as JSON, as tables, and in the page."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import defib_dev
from defib_dev.bench import capacity, results, tables
from defib_dev.bench.figures import BenchError, Section, Target
from defib_dev.bench.publish import BEGIN, END, SOAK, publish
from defib_dev.bench.results import Results

OTHER = "### Sweeps\n\nfrom a full run.\n\n| What | Median |\n|---|--:|\n| a sweep | 3 ms |\n"
PAGE = Path(defib_dev.__file__).parents[2] / "docs" / "performance.md"


@pytest.fixture
def measured() -> Results:
    section = Section("ingest", "Reports", {"vms": 100})
    section.add("bare.rate", "bare uvicorn", "reports/s", [100.0, 300.0, 200.0], n=600)
    target = Target(0.5, 2.0, higher_is_better=True)
    section.add("ratio", "Defib | bare", "x", [1.0], reference="bare.rate", target=target)
    section.add("others", "others", "% of a core", [3.0])
    machine: dict[str, str | int | float] = {"cores": 2, "busy_percent_of_a_core_before": 4.0}
    left_out = ["sweeps of 1,000,000 VMs"]
    return Results("quick", "2026-11-24T00:00:00Z", 90.0, machine, [section], [], left_out)


def test_json_holds_spread_reference_and_verdict_of_each_figure(measured: Results) -> None:
    written = json.loads(results.to_json(measured))
    assert written["format"] == results.FORMAT
    assert written["machine"]["cores"] == 2
    rate, ratio, _ = written["sections"][0]["figures"]
    assert (rate["min"], rate["median"], rate["max"], rate["n"]) == (100.0, 200.0, 300.0, 600)
    assert rate["unit"] == "reports/s"
    assert ratio["reference"] == rate["key"] == "ingest.bare.rate"
    assert ratio["verdict"] == "reached"


def test_json_is_read_back_as_it_was(measured: Results, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(results.to_json(measured))
    assert results.load(file) == measured


@pytest.mark.parametrize("text", ["", "[]", '{"format": 0}'])
def test_what_holds_no_results_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(BenchError, match=r"results\.json"):
        results.load(file)


def test_a_figure_is_shown_beside_its_reference(measured: Results) -> None:
    shown = io.StringIO()
    tables.show(measured, Console(file=shown, width=160))
    ratio = next(line for line in shown.getvalue().splitlines() if "Defib | bare" in line)
    assert "1.00 x" in ratio
    assert "bare uvicorn: 200 reports/s" in ratio
    assert "at least 0.50, aim 2.00: reached" in ratio
    assert "Left out: sweeps of 1,000,000 VMs" in shown.getvalue()


def test_a_disturbed_machine_is_named_as_such(measured: Results) -> None:
    assert "was quiet" in tables.disturbed(measured)
    measured.machine["busy_percent_of_a_core_before"] = 80.0
    assert "NOT quiet: other programs took up to 80 %" in tables.disturbed(measured)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "page.md"
    file.write_text(f"before\n{BEGIN}\n\n{OTHER}\n### Reports\n\nquick run\n\n{END}\nafter\n")
    return file


def test_a_part_takes_the_place_of_its_own_and_the_rest_stays(
    measured: Results, page: Path
) -> None:
    publish(measured, page)
    once = page.read_text()
    publish(measured, page)
    assert page.read_text() == once
    assert once.startswith(f"before\n{BEGIN}\n\n{OTHER}\n### Reports\n\nVms 100.\n")
    assert once.endswith(f"\n{END}\nafter\n")
    assert "Measured 2026-11-24 at commit" in once
    assert once.count("| Defib \\| bare | 1.00 x |") == 1


def test_a_part_that_was_not_there_comes_last(measured: Results, page: Path) -> None:
    measured.sections[0].title = "New"
    publish(measured, page)
    assert page.read_text().index("### Reports") < page.read_text().index("### New")


def test_a_quick_run_does_not_replace_a_full_one(measured: Results, page: Path) -> None:
    old = page.read_text().replace("quick run", "full run")
    page.write_text(old)
    with pytest.raises(BenchError, match=r"Reports in .* is of a full run"):
        publish(measured, page)
    assert page.read_text() == old


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{END} {BEGIN}", "must hold these two lines once each"),
        (f"{BEGIN}\n{END}\n{BEGIN}\n{END}", "must hold these two lines once each"),
        (f"{BEGIN}\nwords of a person\n### Reports\n{END}", "before the first heading"),
        (f"{BEGIN}\n### Reports\na\n### Reports\nb\n{END}", "'Reports' twice"),
    ],
)
def test_a_page_that_would_lose_something_is_left_alone(
    text: str, said: str, measured: Results, page: Path
) -> None:
    page.write_text(text)
    with pytest.raises(BenchError, match=said):
        publish(measured, page)
    assert page.read_text() == text


def test_a_page_that_is_not_there_is_named(measured: Results, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"none\.md cannot be read"):
        publish(measured, tmp_path / "none.md")


def test_capacity_is_reckoned_from_what_the_page_holds_then(measured: Results, page: Path) -> None:
    rows = "\n".join(f"| {what} | 1,000 bytes |  |" for _, what in capacity.COSTS_ARE[4:])
    page.write_text(page.read_text().replace(OTHER, f"### History\n\n{rows}\n"))
    publish(measured, page)
    assert "### Capacity" not in page.read_text()
    for _, what in capacity.COSTS_ARE[:4]:
        measured.sections[0].add(what, what, "us CPU/report", [50.0])
    publish(measured, page)
    assert "A report takes 1000 bytes with its key" in page.read_text()


@pytest.mark.parametrize("marks", [(BEGIN, END), SOAK])
def test_the_page_of_the_documentation_takes_results(
    marks: tuple[str, str], measured: Results, tmp_path: Path
) -> None:
    copy = tmp_path / "performance.md"
    copy.write_text(PAGE.read_text())
    measured.sections[0].title = "New"
    publish(measured, copy, marks)
    [place] = [copy.read_text().index(mark) for mark in marks[:1]]
    assert copy.read_text().index("### New") > place
    assert [line for line in PAGE.read_text().splitlines() if line not in copy.read_text()] == []
