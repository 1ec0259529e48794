"""How large an installation has to be: what is reckoned from which figures."""

import pytest

from defib_dev.bench import capacity

COSTS = capacity.Costs(direct=100, relayed=40, report=100, five_minutes=120, hour=120)


MEASURED = {
    "Defib: CPU of server": 70.0,
    "Defib: CPU of postgresql": 30.0,
    "Defib by batches of 100: CPU of server": 10.0,
    "Defib by batches of 100: CPU of postgresql": 30.0,
    "Disk, key index included": 100.0,
    "Disk of a mean in vm_metric_5m, key index included": 120.0,
    "Disk of a mean in vm_metric_1h, key index included": 120.0,
    "10,000 objects: memory with nothing to do": 250.0,
}


def measured(_: str, what: str) -> float | None:
    return MEASURED.get(what)


def row(size: str) -> list[str]:
    table = capacity.markdown(measured)
    assert table is not None
    [line] = [one for one in table.splitlines() if one.startswith(f"| {size} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_costs_are_those_of_api_and_database_together() -> None:
    assert capacity.costs_of(measured) == COSTS


def test_the_disk_of_a_vm_is_reports_and_both_means_as_long_as_they_are_kept() -> None:
    assert capacity.disk_of_a_vm(COSTS) == pytest.approx(
        2 * 2880 * 100 + 30 * 288 * 120 + 400 * 24 * 120
    )


def test_a_hundred_thousand_vms_need_what_their_reports_cost() -> None:
    assert row("100,000")[1:5] == ["3,333", "0.6", "0.2", "26.8 GiB"]


def test_the_operators_memory_is_said_where_it_was_measured() -> None:
    assert (row("10,000")[-1], row("100,000")[-1]) == ("250 MiB", "")


@pytest.mark.parametrize("what", [what for _, what in capacity.COSTS_ARE])
def test_nothing_is_reckoned_where_a_cost_is_missing(what: str) -> None:
    assert capacity.markdown(lambda _, asked: None if asked == what else 1.0) is None
