"""What a database holds after a load: is every acknowledged report there, and what did it cost."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, sleep

import psycopg

from defib_dev.bench.figures import BenchError

COUNTED_SECONDS = 10.0
PAUSE_SECONDS = 0.1

REPORTS = "SELECT v.vmid, count(*) FROM vm_metric m JOIN vm v ON v.id = m.vm_id GROUP BY v.vmid"
UPDATES = """
SELECT n_tup_upd, n_tup_hot_upd, pg_total_relation_size('vm_state')
FROM pg_stat_user_tables WHERE relname = 'vm_state'
"""
WAL = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8"
CHECKPOINT = "CHECKPOINT"


@dataclass(frozen=True, slots=True)
class StateTable:
    """How the hot table fares."""

    updates: int
    hot_updates: int
    size: int
    """Bytes, indexes included."""


def missing(url: str, acknowledged: Mapping[str, int]) -> int:
    """How many reports were acknowledged, by VMID, and are not in the history."""
    with psycopg.connect(url) as connection:
        there = Counter({str(vmid): count for vmid, count in connection.execute(REPORTS)})
    return sum(max(count - there[vmid], 0) for vmid, count in acknowledged.items())


def state_table(url: str, updates: int) -> StateTable:
    """What PostgreSQL counted of the hot table; it counts late, so wait for so many updates."""
    end = monotonic() + COUNTED_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            row = connection.execute(UPDATES).fetchone()
            assert row is not None
            found = StateTable(*row)
            if found.updates >= updates:
                return found
            if monotonic() > end:
                raise BenchError(
                    f"PostgreSQL counted {found.updates} updates of states and not {updates} "
                    f"within {COUNTED_SECONDS:.0f} s; is track_counts off?"
                )
            sleep(PAUSE_SECONDS)


def log_position(superuser_url: str) -> float:
    """How many bytes of write-ahead log there have ever been."""
    with psycopg.connect(superuser_url) as connection:
        row = connection.execute(WAL).fetchone()
    assert row is not None
    return float(row[0])


def checkpoint(superuser_url: str) -> None:
    """Write everything out, so that the next measurement does not pay for the last."""
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        connection.execute(CHECKPOINT)
