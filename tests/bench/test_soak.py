"""The soak: what counts as growth, and a run of seconds on the real servers."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from defib_cli.dev_commands import app
from defib_dev.bench import soak
from defib_dev.bench.growth import Bound, growth_of
from defib_dev.bench.samples import Samples
from defib_dev.bench.soak import SoakPlan
from defib_dev.bench.tally import Tally

A_LITTLE = Bound(share=0.1, least=16)


def grows(samples: list[float]) -> bool:
    found = growth_of(samples)
    assert found is not None
    return found.exceeds(A_LITTLE)


@pytest.mark.parametrize(
    ("samples", "so"),
    [
        pytest.param([100.0] * 60, False, id="flat"),
        pytest.param([100.0 + number for number in range(60)], True, id="ever more"),
        pytest.param([10.0 * min(number, 12) for number in range(60)], False, id="warms up"),
        pytest.param([100.0] * 59 + [900.0], False, id="a peak at the end"),
        pytest.param([100.0 + 50 * (number % 2) for number in range(60)], False, id="to and fro"),
        pytest.param([1.0 + number / 10 for number in range(60)], False, id="next to nothing"),
        pytest.param([5000.0 + number * 8 for number in range(60)], False, id="little of much"),
    ],
)
def test_what_goes_on_growing_is_told_from_what_does_not(samples: list[float], so: bool) -> None:
    assert grows(samples) is so


def test_too_few_samples_say_nothing() -> None:
    assert growth_of([1.0] * 9) is None


def test_the_slope_is_by_sample() -> None:
    found = growth_of([3.0 * number for number in range(60)])
    assert found is not None
    assert found.slope == pytest.approx(3)


def test_a_leak_a_growing_table_and_a_missing_report_are_faults_and_history_is_none() -> None:
    more = [100.0 + 10 * number for number in range(60)]
    samples = Samples({"API": more}, {"vm_metric": more, "vm_state": more})
    tally = Tally(window=1, latencies=[0.001])
    tally.acknowledged[0] = 5
    soaked = soak._Soaked(tally, samples, missing=1, problems=[])
    _, faults = soak._section(SoakPlan(10, 100), soaked)
    assert [fault.partition(" grew")[0] for fault in faults] == [
        "acknowledged reports missing: 1",
        "memory of API",
        "table vm_state",
    ]


def test_the_command_soaks_the_real_servers_and_loses_nothing(tmp_path: Path) -> None:
    out = tmp_path / "soak.json"
    asked = ["soak", "--minutes", "0.1", "--rate", "20", "--out", str(out)]
    answer = CliRunner().invoke(app, asked)
    written = json.loads(out.read_text())
    figures = {one["key"]: one for one in written["sections"][0]["figures"]}
    assert figures["soak.missing"]["median"] == 0
    assert figures["soak.reports"]["median"] == 120
    assert figures["soak.memory_of_API"]["median"] > 1
    assert "soak.table_vm_metric" in figures
    assert (answer.exit_code, written["faults"]) == (0, []), answer.output
