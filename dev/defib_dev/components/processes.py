"""Start and stop programs by a record that survives the starter and never hits a stranger.

A record holds the process id together with the moment that process started. Ids are reused; the
pair is not. Nothing here signals a process whose start differs from the recorded one.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from shutil import which

import psutil

from defib_dev.components.accounts import Account

# Popen objects of this process's own children, kept so that an ended child can be reaped.
_children: dict[int, subprocess.Popen[bytes]] = {}

_PAUSE_SECONDS = 0.02
_KILLED_WITHIN_SECONDS = 5.0
_FOREIGN_SETTINGS = ("DEFIB_", "KUBE", "PG", "VALKEY", "REDIS")


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """A program to run in the background. Secrets go through files, never `argv` or `env`."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 20.0
    dies_with_parent: bool = False


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """Which process a spec became. `started` identifies it together with `pid`."""

    name: str
    pid: int
    started: str
    argv: tuple[str, ...]
    log: str
    stop_signal: int
    stop_seconds: float


def start(spec: ProcessSpec, log: Path) -> ProcessRecord:
    """Start the program in its own session, output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            _with_parent_bond(spec),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            env={**clean_environment(), **spec.env},
            **(spec.account.popen_arguments() if spec.account else {}),
        )
    _children[child.pid] = child
    return ProcessRecord(
        name=spec.name,
        pid=child.pid,
        started=start_moment(child.pid) or "ended at once",
        argv=spec.argv,
        log=str(log),
        stop_signal=int(spec.stop_signal),
        stop_seconds=spec.stop_seconds,
    )


def is_running(record: ProcessRecord) -> bool:
    """Whether this very process still runs (an ended child waiting to be reaped does not)."""
    child = _children.get(record.pid)
    if child is not None and child.poll() is not None:
        return False
    if start_moment(record.pid) != record.started:
        return False
    try:
        return _is_alive(psutil.Process(record.pid))
    except psutil.NoSuchProcess:
        return False


class Ending(StrEnum):
    """How a process came to its end."""

    NOT_RUNNING = "was not running"
    OBEYED = "ended when asked"
    KILLED = "did not end when asked, and was killed"


def stop(record: ProcessRecord) -> Ending:
    """Stop the process and whatever it started. Never a stranger."""
    if not is_running(record):
        _forget(record)
        return Ending.NOT_RUNNING
    deaf: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):  # it may end by itself at any moment
        process = psutil.Process(record.pid)
        family = process.children(recursive=True)
        process.send_signal(record.stop_signal)
        deaf = _wait([process], record.stop_seconds)
        _kill([*deaf, *family])
    _forget(record)
    return Ending.KILLED if deaf else Ending.OBEYED


def start_moment(pid: int) -> str | None:
    """When the process started, as an opaque word that no reuse of the id repeats; None if gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return _start_moment_without_proc(pid)
    except ProcessLookupError:
        return None
    # Ticks since boot do not move with the wall clock; the boot's id tells boots apart.
    ticks = stat.rpartition(")")[2].split()[19]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{ticks}"


def _start_moment_without_proc(pid: int) -> str | None:
    if Path("/proc/self/stat").exists():
        return None
    try:
        return f"epoch:{psutil.Process(pid).create_time():.2f}"
    except psutil.NoSuchProcess:
        return None


def _kill(family: list[psutil.Process]) -> None:
    for process in family:
        if _is_alive(process):
            with suppress(psutil.NoSuchProcess):
                process.kill()
    _wait(family, _KILLED_WITHIN_SECONDS)


def _wait(family: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until all have ended; those that have not. One nobody reaped yet has ended."""
    end = time.monotonic() + seconds
    while (alive := [one for one in family if _is_alive(one)]) and time.monotonic() < end:
        time.sleep(_PAUSE_SECONDS)
    return alive


def _is_alive(process: psutil.Process) -> bool:
    """As psutil identifies a process, it is no stranger with the same id."""
    try:
        return process.is_running() and not _has_ended(process)
    except psutil.NoSuchProcess:
        return False


def _has_ended(process: psutil.Process) -> bool:
    """Whether it only waits to be reaped. Its first thread may end before the others do."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    except psutil.ZombieProcess:
        return True


def _forget(record: ProcessRecord) -> None:
    child = _children.get(record.pid)
    if child is not None and child.poll() is not None:
        del _children[record.pid]


def _with_parent_bond(spec: ProcessSpec) -> list[str]:
    """Let the kernel end a test's process when the test run dies, where the system can."""
    setpriv = which("setpriv") if spec.dies_with_parent else None
    bond = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    return [*bond, *spec.argv]


def clean_environment() -> dict[str, str]:
    """The user's environment without settings that would redirect a part, and no loopback proxy."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_SETTINGS)
    }
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in kept.get(name, "").split(",") if host]
        kept[name] = ",".join(dict.fromkeys([*hosts, "127.0.0.1", "localhost"]))
    return kept
