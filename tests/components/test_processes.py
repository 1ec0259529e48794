"""Processes are found again by their record, and a stranger with the same id is left alone."""

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from defib_dev.components import processes, readiness
from defib_dev.components.errors import NotReadyError
from defib_dev.components.processes import Ending, ProcessRecord, ProcessSpec
from support.waiting import eventually

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.1; done"


def sleeper(tmp_path: Path, *, name: str = "sleeper") -> ProcessRecord:
    return processes.start(ProcessSpec(name, ("sleep", "300")), tmp_path / "sleeper.log")


def test_a_started_process_is_running_until_it_is_stopped(tmp_path: Path) -> None:
    record = sleeper(tmp_path)
    assert processes.is_running(record)
    assert processes.stop(record) is Ending.OBEYED
    assert not processes.is_running(record)
    assert not psutil.pid_exists(record.pid)


def test_stopping_twice_is_no_error(tmp_path: Path) -> None:
    record = sleeper(tmp_path)
    assert processes.stop(record) is Ending.OBEYED
    assert processes.stop(record) is Ending.NOT_RUNNING


def test_a_stranger_who_got_the_same_id_is_neither_seen_nor_stopped(tmp_path: Path) -> None:
    stranger = sleeper(tmp_path)
    stale = dataclasses.replace(stranger, started="another boot:1")
    assert not processes.is_running(stale)
    assert processes.stop(stale) is Ending.NOT_RUNNING
    assert processes.is_running(stranger)
    processes.stop(stranger)


def test_an_ended_child_nobody_waited_for_is_not_running(tmp_path: Path) -> None:
    record = processes.start(ProcessSpec("short", ("true",)), tmp_path / "short.log")
    eventually(lambda: not processes.is_running(record), what="`true` ended")


def test_a_process_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    spec = ProcessSpec("stubborn", ("sh", "-c", STUBBORN), stop_seconds=0.3)
    record = processes.start(spec, tmp_path / "stubborn.log")
    log = tmp_path / "stubborn.log"
    eventually(lambda: "ready" in log.read_text(), what="the trap is set")
    assert processes.stop(record) is Ending.KILLED
    assert not psutil.pid_exists(record.pid)


def test_what_a_process_started_goes_with_it(tmp_path: Path) -> None:
    spec = ProcessSpec("parent", ("sh", "-c", "sleep 300 & echo $!; wait"))
    record = processes.start(spec, tmp_path / "parent.log")
    child = int(eventually((tmp_path / "parent.log").read_text, what="the child's id"))
    assert psutil.pid_exists(child)
    processes.stop(record)
    eventually(lambda: not psutil.pid_exists(child), what="the child is gone")


def test_a_process_lives_on_after_the_program_that_started_it(tmp_path: Path) -> None:
    starter = (
        "from pathlib import Path\n"
        "from defib_dev.components import processes\n"
        "spec = processes.ProcessSpec('lasting', ('sleep', '300'))\n"
        f"record = processes.start(spec, Path({str(tmp_path / 'x.log')!r}))\n"
        "print(record.pid, record.started)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", starter], check=True, capture_output=True, text=True
    )
    pid, started = answer.stdout.split()
    record = ProcessRecord("lasting", int(pid), started, ("sleep", "300"), "x", signal.SIGTERM, 5)
    assert processes.is_running(record)
    processes.stop(record)
    assert not processes.is_running(record)


def test_a_bound_process_dies_even_when_its_starter_is_killed(tmp_path: Path) -> None:
    starter = (
        "import time\n"
        "from pathlib import Path\n"
        "from defib_dev.components import processes\n"
        "spec = processes.ProcessSpec('bound', ('sleep', '300'), dies_with_parent=True)\n"
        f"print(processes.start(spec, Path({str(tmp_path / 'x.log')!r})).pid, flush=True)\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", starter], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        bound = psutil.Process(pid)
        eventually(lambda: bound.name() == "sleep", what="the bond is tied and sleep runs")
        parent.kill()
    eventually(lambda: not bound.is_running(), what="the bound process died with its starter")


def test_a_process_gets_no_foreign_settings_and_no_proxy_to_loopback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEFIB_DATABASE_URL", "somebody else's")
    monkeypatch.setenv("KUBECONFIG", "/the/users/own")
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("NO_PROXY", "example.org")
    log = tmp_path / "env.log"
    spec = ProcessSpec("env", ("env",), env={"DEFIB_API_PORT": "3000"})
    record = processes.start(spec, log)
    eventually(lambda: not processes.is_running(record), what="`env` ended")
    seen = dict(line.split("=", 1) for line in log.read_text().splitlines() if "=" in line)
    assert seen["DEFIB_API_PORT"] == "3000"
    assert seen["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    assert seen["PATH"] == os.environ["PATH"]
    assert not {"DEFIB_DATABASE_URL", "KUBECONFIG", "PGHOST"} & set(seen)


def test_waiting_for_a_dead_process_fails_at_once_with_the_end_of_its_log(tmp_path: Path) -> None:
    spec = ProcessSpec("broken", ("sh", "-c", "echo no such disk; exit 3"))
    record = processes.start(spec, tmp_path / "broken.log")
    with pytest.raises(NotReadyError, match=r"(?s)broken ended before .*no such disk"):
        readiness.wait_for_process(record, lambda: "not yet", deadline_seconds=60)


def test_waiting_past_the_deadline_says_what_was_missing(tmp_path: Path) -> None:
    record = sleeper(tmp_path, name="slow")
    with pytest.raises(NotReadyError, match=r"slow was not ready after 0 s: port closed"):
        readiness.wait_for_process(record, lambda: "port closed", deadline_seconds=0.2)
    processes.stop(record)


def test_a_process_whose_first_thread_ended_before_the_others_still_runs(tmp_path: Path) -> None:
    code = (
        "import ctypes, platform, threading, time\n"
        "threading.Thread(target=time.sleep, args=(300,)).start()\n"
        "exit_of_one_thread = {'x86_64': 60, 'aarch64': 93}[platform.machine()]\n"
        "ctypes.CDLL(None).syscall(exit_of_one_thread, 0)\n"
    )
    spec = ProcessSpec("threads", (sys.executable, "-c", code), stop_signal=signal.SIGKILL)
    record = processes.start(spec, tmp_path / "threads.log")
    first_thread = psutil.Process(record.pid)
    zombie = psutil.STATUS_ZOMBIE
    eventually(lambda: first_thread.status() == zombie, what="the first thread ended")
    assert processes.is_running(record)
    processes.stop(record)
    assert not psutil.pid_exists(record.pid)
