"""The three servers that take reports, with databases that hold the same VMs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from defib_dev.bench import fleet, requests
from defib_dev.bench.bench import Bench
from defib_dev.bench.contenders import Contender
from defib_dev.bench.servers import Database, make_keys

BARE, NAIVE, DEFIB = "bare", "naive", "defib"
TITLES = {BARE: "bare uvicorn", NAIVE: "naive ORM", DEFIB: "Defib"}
SERVER, POSTGRES = "server", "postgresql"


@dataclass(frozen=True, slots=True)
class Arena:
    """Who is measured, by name, always in this order, and where the reports go."""

    contenders: dict[str, Contender]
    databases: dict[str, Database]
    numbers: list[int]
    """The VM's number, by the request's."""


@contextmanager
def opened(bench: Bench, vms: int) -> Iterator[Arena]:
    """Make the databases and start the servers; both go at the end of the block."""
    servers = bench.servers
    with ExitStack() as stack:
        ours = servers.migrated_database("ingest")
        stack.callback(servers.drop, ours)
        naives = servers.empty_database("naive")
        stack.callback(servers.drop, naives)
        fleet.fill(ours.superuser_url, vms)
        key = bench.run(make_keys(ours)).agent
        served = {BARE: servers.bare(), NAIVE: servers.naive(naives, key), DEFIB: servers.api(ours)}
        for one in served.values():
            stack.callback(one.stop)
        fleet.fill_naive(naives.url, vms)
        numbers = requests.shuffled(vms)
        reports = [requests.report(number, key) for number in numbers]
        database = {POSTGRES: servers.postgres_record.pid}
        yield Arena(
            contenders={
                name: Contender(
                    name=name,
                    title=TITLES[name],
                    port=one.port,
                    pids={SERVER: one.record.pid, **({} if name == BARE else database)},
                    requests=reports,
                )
                for name, one in served.items()
            },
            databases={NAIVE: naives, DEFIB: ours},
            numbers=numbers,
        )
