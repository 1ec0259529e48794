"""What is seen of an operator from outside: its log, its process, and what it wrote down.

It also keeps the database's side of the story: a proof that reports could be stored, VMs that are
healthy, and some that fall silent.
"""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic, perf_counter, sleep
from types import TracebackType

import psutil
import psycopg

from defib_dev.bench.figures import BenchError
from defib_dev.components import processes
from defib_dev.components.processes import ProcessRecord

LOOK_SECONDS = 0.25
PROVE_SECONDS = 1.0
IDLE_PERCENT = 20.0
IDLE_LOOKS = 3
MIB = 2**20

PROVE = """
INSERT INTO ingest_liveness VALUES ('bench', defib_now() - interval '1 day', defib_now())
ON CONFLICT (replica) DO UPDATE SET proved_at = excluded.proved_at
"""
ALL_HEALTHY = """
UPDATE vm_state SET state = 'healthy', state_since = defib_now() - interval '1 day',
    alive_since = defib_now() - interval '1 day', clock_floor = defib_now() - interval '1 day',
    last_heartbeat = defib_now() + interval '2 hours', reports = 2880, status = 'running',
    cpu = 20, ram = 1024, ram_total = 4096
"""
SILENCE = """
UPDATE vm_state SET last_heartbeat = defib_now() - interval '10 minutes'
WHERE vm_id IN (SELECT vm_id FROM vm_state ORDER BY vm_id LIMIT %s)
"""
DOWN = "SELECT count(*) FROM vm_state WHERE state = 'down'"
TOLD = "SELECT count(*) FROM vm_projection"
TOLD_DOWN = "SELECT count(*) FROM vm_projection WHERE status ->> 'health' = 'down'"


class Proof:
    """Proves once a second, for the block, that reports could be stored: nobody is blind."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._prove, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _prove(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._over.wait(PROVE_SECONDS):
                connection.execute(PROVE)


def until_listed(record: ProcessRecord, vms: int, patience: float) -> None:
    """Wait until the operator says that it has taken in every object."""
    log = Path(record.log)

    def listed() -> bool:
        lines = [line for line in log.read_text().splitlines() if "listed_everything" in line]
        return any(json.loads(line)["vms"] == vms for line in lines)

    _until(listed, record, patience, f"it did not list {vms:,} objects")


def until_idle(record: ProcessRecord, patience: float) -> None:
    """Wait until it has had next to nothing to do for some seconds; no longer than `patience`."""
    process, idle, end = psutil.Process(record.pid), 0, monotonic() + patience
    while idle < IDLE_LOOKS and monotonic() < end:
        idle = idle + 1 if process.cpu_percent(interval=1.0) < IDLE_PERCENT else 0


def outage(url: str, record: ProcessRecord, silent: int, patience: float) -> tuple[float, float]:
    """Wait until so many are down, and then until every status says so; seconds of both."""
    began = perf_counter()
    _until(lambda: _count(url, DOWN) >= silent, record, patience, "not all became down")
    down = perf_counter()
    _until(lambda: _count(url, TOLD_DOWN) >= silent, record, patience, "not all were told")
    return down - began, perf_counter() - down


def told(url: str) -> int:
    """How many statuses were ever written."""
    return _count(url, TOLD)


def all_healthy(superuser_url: str) -> None:
    """All VMs report, and do not grow old meanwhile."""
    _execute(superuser_url, ALL_HEALTHY, "VACUUM ANALYZE vm_state")


def silence(superuser_url: str, vms: int) -> None:
    """So many have not been heard of for ten minutes."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute(SILENCE, (vms,))


def forget_queue(superuser_url: str) -> None:
    """Drop what waits to be written: first statuses of so many objects would take too long."""
    _execute(superuser_url, "TRUNCATE status_outbox")


def memory(pid: int) -> float:
    """MiB that a process has in memory."""
    return float(psutil.Process(pid).memory_info().rss / MIB)


def peak(pid: int) -> float:
    """MiB that it had at most."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    found = next((line for line in lines if line.startswith("VmHWM:")), None)
    if found is None:
        raise BenchError("this system does not say how much memory a process had at most")
    return int(found.split()[1]) / 1024


def _until(so: Callable[[], bool], record: ProcessRecord, patience: float, otherwise: str) -> None:
    end = monotonic() + patience
    while not so():
        if not processes.is_running(record):
            raise BenchError(f"the operator has ended; see its log {record.log}")
        if monotonic() > end:
            raise BenchError(f"after {patience:.0f} s {otherwise}; see the log {record.log}")
        sleep(LOOK_SECONDS)


def _count(url: str, query: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query.encode()).fetchone()
    return 0 if row is None else int(row[0])


def _execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
