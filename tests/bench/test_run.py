"""The whole bench on its real servers, with sizes at which no figure means anything."""

import json
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from defib_cli.dev_commands import app
from defib_dev.bench import results, run
from defib_dev.bench.figures import BenchError
from defib_dev.bench.plan import (
    HistoryPlan,
    IngestPlan,
    LoadPlan,
    OperatorPlan,
    Plan,
    ReadsPlan,
    SweepPlan,
)

TINY = Plan(
    mode="tiny",
    seconds=600,
    ingest=IngestPlan(
        LoadPlan(1, wires=8, warm_up=0.1, closed=0.3, opened=0.3),
        vms=300,
        rate=100,
        burst_seconds=0.1,
        burst_drain=20,
        burst_wires=20,
        batch=10,
        batch_wires=4,
        statement_seconds=0.05,
        copied_rows=1000,
    ),
    sweep=SweepPlan(sizes=(200,), repeats=2),
    reads=ReadsPlan(LoadPlan(1, wires=2, warm_up=0.1, closed=0.2, opened=0.2), sizes=(50,)),
    history=HistoryPlan(
        vms=5, asked=3, repeats=1, api=LoadPlan(1, wires=1, warm_up=0.1, closed=0.2, opened=0.2)
    ),
    operator=OperatorPlan(sizes=(20,), statuses_seconds=0, rest=2, patched=5),
)


def measure(plan: Plan, only: list[str], folder: Path) -> tuple[results.Results, list[str]]:
    said: list[str] = []
    return run.run(plan, only, folder, said.append), said


def test_every_measurement_gives_its_figures_and_leaves_no_process(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    # The page is measured by the suite of the page.
    found, said = measure(TINY, ["ingest", "sweep", "reads", "history", "safety"], tmp_path)
    left = [one for one in psutil.Process().children(recursive=True) if one.pid not in before]
    assert [one.name() for one in left if one.status() != psutil.STATUS_ZOMBIE] == []
    assert (found.faults, found.left_out) == ([], [])
    assert [section.name for section in found.sections] == [
        "ingest",
        "sweep",
        "reads",
        "history",
        "safety",
    ]
    keys = {figure.key for section in found.sections for figure in section.figures}
    assert keys >= {
        "ingest.bare.rate",
        "ingest.naive.rate",
        "ingest.defib.rate",
        "ingest.defib.against_naive",
        "ingest.defib.against_bare",
        "ingest.defib.p99",
        "ingest.defib.cpu.server",
        "ingest.defib.cpu.postgresql",
        "ingest.defib.cpu.generator",
        "ingest.burst.lasted",
        "ingest.batches.rate",
        "ingest.batches.cpu.server",
        "ingest.copy.rate",
        "ingest.statement.rate",
        "sweep.200.quiet",
        "sweep.200.few",
        "sweep.200.many",
        "reads.50.with_Redis.status.p99",
        "reads.50.without_Redis.vms.rate",
        "history.raw.cold.p99",
        "history.5m.warm.p99",
        "history.api.24h.p50",
        "safety.outage",
        "safety.second_posts",
        "safety.busy",
        "safety.simulated.recovery.p99",
    }
    references = {f.reference for s in found.sections for f in s.figures if f.reference}
    assert references <= keys, "a figure names a reference that is not there"
    for name in ("naive", "defib"):
        missing = found.figure(f"ingest.{name}.missing")
        assert missing is not None
        assert missing.median == 0
        assert missing.n > 0, "nothing was acknowledged, so nothing was checked"
    hot = found.figure("ingest.defib.hot")
    assert hot is not None
    assert hot.n > 0
    assert found.machine["postgresql_fsync"] == "on"
    assert json.loads(results.to_json(found))["machine"]["cores"] >= 1
    assert any("Defib, as fast as it answers" in line for line in said)


def test_the_operator_is_measured_with_objects_on_a_real_control_plane(tmp_path: Path) -> None:
    found, _ = measure(TINY, ["operator"], tmp_path)
    assert (found.faults, found.left_out) == ([], [])
    keys = {figure.key for section in found.sections for figure in section.figures}
    assert keys >= {
        "operator.20.created",
        "operator.20.first",
        "operator.20.again",
        "operator.20.again.peak",
        "operator.20.steady",
        "operator.20.down",
        "operator.20.told",
        "operator.20.patches",
    }


def test_what_does_not_fit_into_the_time_is_left_out_and_named(tmp_path: Path) -> None:
    no_time = Plan("tiny", 0.0, TINY.ingest, TINY.sweep, TINY.reads, TINY.history)
    found, _ = measure(no_time, ["sweep", "reads"], tmp_path)
    assert found.sections == []
    assert [line.partition(" (")[0] for line in found.left_out] == [
        "sweeps of 200 VMs",
        "reads of 50 VMs",
    ]


def test_a_measurement_that_does_not_exist_is_refused_before_anything_starts(
    tmp_path: Path,
) -> None:
    with pytest.raises(BenchError, match="no measurement speed; there are ingest, sweep"):
        measure(TINY, ["ingest", "speed"], tmp_path)


def test_the_command_shows_earlier_results_without_measuring(tmp_path: Path) -> None:
    empty = results.Results("quick", "2026-11-24T00:00:00Z", 1.0, {}, [], [], ["everything"])
    file = tmp_path / "earlier.json"
    file.write_text(results.to_json(empty))
    answer = CliRunner().invoke(app, ["bench", "--from", str(file)])
    assert answer.exit_code == 0, answer.output
    assert "Left out: everything" in answer.output


def test_the_command_says_what_is_wrong_with_results_it_cannot_read(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["bench", "--from", str(tmp_path / "none.json")])
    assert answer.exit_code == 1
    assert "cannot be read" in answer.output
