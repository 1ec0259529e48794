"""Results as JSON, as tables, and in the page."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

import defib_dev
from defib_dev.bench import results, tables
from defib_dev.bench.figures import BenchError, Section, Target
from defib_dev.bench.publish import BEGIN, END, publish
from defib_dev.bench.results import Results

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


def test_only_what_is_between_the_marks_is_replaced(measured: Results, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold figures\n{END}\nafter\n")
    publish(measured, page)
    publish(measured, page)
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old figures" not in text
    assert text.count("| Defib \\| bare | 1.00 x |") == 1


def test_a_page_without_marks_is_left_alone(measured: Results, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{END} {BEGIN}")
    with pytest.raises(BenchError, match="must hold these two lines"):
        publish(measured, page)
    assert page.read_text() == f"{END} {BEGIN}"


def test_the_page_of_the_documentation_has_the_marks(measured: Results, tmp_path: Path) -> None:
    copy = tmp_path / "performance.md"
    copy.write_text(PAGE.read_text())
    publish(measured, copy)
    assert "bare uvicorn" in copy.read_text()
