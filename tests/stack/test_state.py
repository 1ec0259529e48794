"""The state file: what it keeps, and what happens when it lies or is damaged."""

import dataclasses
from pathlib import Path

import pytest

from defib_dev.components import processes
from defib_dev.components.errors import ComponentError
from defib_dev.components.processes import ProcessRecord, ProcessSpec
from defib_dev.stack import state as states
from defib_dev.stack.layout import StackFolder, StackPorts
from defib_dev.stack.runner import Runner, Service
from defib_dev.stack.state import StackState


def record(name: str, pid: int = 1) -> ProcessRecord:
    return ProcessRecord(name, pid, "boot:1", ("program", "--flag"), "log", 15, 20.0)


def folder(tmp_path: Path) -> StackFolder:
    made = StackFolder(tmp_path / "stack")
    made.make()
    return made


def sleeper(name: str, seconds: str = "300") -> Service:
    return Service(title=name, spec=ProcessSpec(name, ("sleep", seconds)))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    state = StackState(port_offset=100, demo=False, processes=(record("a"), record("b", 2)))
    states.save(tmp_path / "state.json", state)
    assert states.load(tmp_path / "state.json") == state


def test_no_file_means_no_stack(tmp_path: Path) -> None:
    assert states.load(tmp_path / "state.json") is None


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"format": 2}', '{"format": 1, "processes": [{}]}'],
)
def test_a_damaged_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(ComponentError, match="remove the file and try again"):
        states.load(tmp_path / "state.json")


def test_a_process_takes_the_place_of_one_with_its_name() -> None:
    state = StackState(processes=(record("a", 1), record("b", 2))).with_process(record("a", 3))
    assert [(one.name, one.pid) for one in state.processes] == [("b", 2), ("a", 3)]


def test_each_start_is_on_disk_before_the_next_is_made(tmp_path: Path) -> None:
    where = folder(tmp_path)
    runner = Runner(where, StackState())

    def saved() -> list[str]:
        state = states.load(where.state)
        return [] if state is None else [one.name for one in state.processes]

    def prepare_second() -> None:
        assert saved() == ["first"]

    try:
        runner.ensure(sleeper("first"))
        second = dataclasses.replace(sleeper("second"), prepare=prepare_second)
        runner.ensure(second)
        assert saved() == ["first", "second"]
    finally:
        runner.keep_only(set())
    assert saved() == []


def test_a_process_asked_for_differently_is_started_anew(tmp_path: Path) -> None:
    runner = Runner(folder(tmp_path), StackState())
    try:
        assert runner.ensure(sleeper("one"))
        first = runner.state.record("one")
        assert not runner.ensure(sleeper("one"))
        assert runner.state.record("one") == first
        assert runner.ensure(sleeper("one", "301"))
        assert first is not None
        assert not processes.is_running(first)
    finally:
        runner.keep_only(set())


def test_a_stranger_who_got_a_recorded_id_survives_up_and_down(tmp_path: Path) -> None:
    stranger = processes.start(ProcessSpec("stranger", ("sleep", "300")), tmp_path / "log")
    try:
        stale = dataclasses.replace(stranger, name="one", started="before the reboot:7")
        runner = Runner(folder(tmp_path), StackState(processes=(stale,)))
        assert runner.ensure(sleeper("one")), "the stale record was taken for a running process"
        runner.keep_only(set())
        assert processes.is_running(stranger)
    finally:
        processes.stop(stranger)


def test_purging_a_folder_spares_what_is_not_the_stacks(tmp_path: Path) -> None:
    where = folder(tmp_path)
    (where.root / "letters.txt").write_text("mine")
    (where.secrets / "token").write_text("secret")
    where.remove()
    assert [path.name for path in where.root.iterdir()] == ["letters.txt"]


def test_ports_beyond_the_range_are_refused() -> None:
    with pytest.raises(ComponentError, match="--port-offset must be 0 to 40000"):
        StackPorts(60_000)
