"""How large an installation has to be: what is reckoned from which figures."""

import pytest

from defib_dev.bench import capacity, tables
from defib_dev.bench.figures import Section
from defib_dev.bench.results import Results

COSTS = capacity.Costs(direct=100, relayed=40, report=100, five_minutes=120, hour=120)


def measured(*, whole: bool = True) -> Results:
    ingest, history, operator = (
        Section("ingest", ""),
        Section("history", ""),
        Section("operator", ""),
    )
    for key, value in (("defib", 70.0), ("batches", 10.0)):
        ingest.add(f"{key}.cpu.server", "", "us", [value])
        ingest.add(f"{key}.cpu.postgresql", "", "us", [30.0])
    for key, value in (("size", 100.0), ("size.5m", 120.0), ("size.1h", 120.0)):
        history.add(key, "", "bytes", [value])
    operator.add("10000.steady", "", "MiB", [250.0])
    sections = [ingest, history, operator] if whole else [ingest]
    return Results("full", "2026-11-24T00:00:00Z", 1.0, {}, sections, [], [])


def test_costs_are_those_of_api_and_database_together() -> None:
    assert capacity.costs_of(measured()) == COSTS


def test_the_disk_of_a_vm_is_reports_and_both_means_as_long_as_they_are_kept() -> None:
    assert capacity.disk_of_a_vm(COSTS) == pytest.approx(
        2 * 2880 * 100 + 30 * 288 * 120 + 400 * 24 * 120
    )


def test_a_hundred_thousand_vms_need_what_their_reports_cost() -> None:
    [row] = [line for line in capacity.lines(measured()) if line.startswith("| 100,000 ")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:4] == ["3,333", "0.6", "0.2"]
    assert cells[4] == "26.8 GiB"


def test_the_table_is_in_the_page_with_what_the_operator_holds() -> None:
    page = tables.markdown(measured())
    assert "### Capacity" in page
    [row] = [line for line in page.splitlines() if line.startswith("| 10,000 ")]
    assert "250 MiB" in row


def test_a_run_of_a_part_reckons_nothing() -> None:
    assert capacity.lines(measured(whole=False)) == []
