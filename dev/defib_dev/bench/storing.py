"""What PostgreSQL itself takes, without HTTP: Defib's statement in full batches, and COPY.

One connection each, over TCP on loopback, fsync on, a commit a batch.
"""

from collections.abc import Iterator, Sequence
from time import perf_counter

import psycopg

from defib_core.store import heartbeats
from defib_core.store.engine import hot_connection
from defib_core.store.heartbeats import MAX_BATCH, Heartbeat
from defib_dev.bench import fleet, requests

IDS = "SELECT id FROM vm ORDER BY vmid"
COPY_TABLE = """
DROP TABLE IF EXISTS copied;
CREATE TABLE copied (LIKE vm_metric INCLUDING DEFAULTS, PRIMARY KEY (vm_id, at))
"""
COPY = "COPY copied (vm_id, at, cpu, ram, ram_total, disk, disk_total, uptime) FROM STDIN"
CHUNK = 1 << 16


async def statement_rate(url: str, vms: int, seconds: float) -> tuple[float, int]:
    """Rows a second of the production statement, and how many rows that was measured with."""
    connection = await hot_connection(url, application="bench")
    async with connection:
        ids = [row[0] async for row in await connection.execute(IDS)]
        shuffled = [ids[number] for number in requests.shuffled(vms)]
        batches = list(_batches(shuffled))
        stored, began = 0, perf_counter()
        while (took := perf_counter() - began) < seconds or not stored:
            batch = batches[stored // MAX_BATCH % len(batches)]
            stored += len(await heartbeats.store(connection, batch))
        return stored / took, stored


def copy_rate(url: str, rows: int) -> float:
    """Rows a second of one COPY of as many rows of the history, key index included."""
    lines = _lines(rows)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(COPY_TABLE)
        began = perf_counter()
        with connection.cursor().copy(COPY) as copy:
            for at in range(0, len(lines), CHUNK):
                copy.write(lines[at : at + CHUNK])
        return rows / (perf_counter() - began)


def _batches(ids: Sequence[int]) -> Iterator[list[Heartbeat]]:
    for begin in range(0, len(ids), MAX_BATCH):
        yield [
            Heartbeat(vm_id, "running", 20.25, 1024, 4096, 20_000, 100_000, 86_400, None, None)
            for vm_id in ids[begin : begin + MAX_BATCH]
        ]


def _lines(rows: int) -> bytes:
    """Rows as COPY reads them: a report of each VM a round, as they come in."""
    vms = min(rows, fleet.LOWEST_VMID * 100)
    return "".join(
        f"{1 + row % vms}\t2026-11-24 {row // vms // 120:02d}:{row // vms // 2 % 60:02d}:"
        f"{row // vms % 2 * 30:02d}+00\t20.25\t1024\t4096\t20000\t100000\t86400\n"
        for row in range(rows)
    ).encode()
