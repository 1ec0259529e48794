"""What a soak looks at now and then: memory of each process, and the size of each table."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg

MIB = 2**20
SIZES = """
SELECT coalesce(p.relname, c.relname), sum(pg_total_relation_size(c.oid))::float8
FROM pg_class c
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
GROUP BY 1
"""


@dataclass(slots=True)
class Samples:
    """All that was seen, in MiB, oldest first."""

    memory: dict[str, list[float]] = field(default_factory=dict)
    tables: dict[str, list[float]] = field(default_factory=dict)

    async def gather(self, pids: Mapping[str, int], url: str, every: float) -> None:
        """Look every so many seconds, until cancelled."""
        while True:
            await asyncio.to_thread(self.look, pids, url)
            await asyncio.sleep(every)

    def look(self, pids: Mapping[str, int], url: str) -> None:
        """Look once."""
        for name, pid in pids.items():
            self.memory.setdefault(name, []).append(memory_of(pid))
        with psycopg.connect(url, autocommit=True) as connection:
            for table, size in connection.execute(SIZES):
                self.tables.setdefault(str(table), []).append(float(size) / MIB)


def memory_of(pid: int) -> float:
    """MiB of memory that a process and its children hold beside what maps files or is shared.

    Read from `smaps_rollup`. Pages of PostgreSQL's shared buffers must not be in it: as long as
    only one of its processes has touched them they would count as its own.
    """
    process, total = psutil.Process(pid), 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(ProcessLookupError, FileNotFoundError):  # it ended this moment
            total += _anonymous_kib(Path(f"/proc/{one.pid}/smaps_rollup").read_text()) / 1024
    return total


def _anonymous_kib(rollup: str) -> int:
    found = next(line for line in rollup.splitlines() if line.startswith("Pss_Anon:"))
    return int(found.split()[1])
