"""The three servers that take reports, with databases that hold the same VMs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from defib_dev.bench import fleet, requests
from defib_dev.bench.bench import Bench
from defib_dev.bench.contenders import Contender
from defib_dev.bench.servers import Database, Keys, Served, make_keys

BARE, NAIVE, DEFIB, BATCHES = "bare", "naive", "defib", "batches"
TITLES = {BARE: "bare uvicorn", NAIVE: "naive ORM", DEFIB: "Defib", BATCHES: "Defib by batches"}
SERVER, POSTGRES = "server", "postgresql"


@dataclass(frozen=True, slots=True)
class Arena:
    """Who is measured, by name, always in this order, and where the reports go."""

    contenders: dict[str, Contender]
    databases: dict[str, Database]
    numbers: list[int]
    """The VM's number, by the request's."""
    batches: Contender
    """Defib once more, as relays send: many reports a request."""

    def acknowledged(self, name: str) -> Counter[str]:
        """How many reports of each VM a server has acknowledged in all loads, by VMID."""
        found: Counter[str] = Counter()
        for index, count in self.contenders[name].acknowledged.items():
            found[fleet.vmid_of(self.numbers[index])] += count
        if name == DEFIB:
            sent = parts(self.numbers, self.batches.reports)
            for index, count in self.batches.acknowledged.items():
                for number in sent[index]:
                    found[fleet.vmid_of(number)] += count
        return found


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
        keys = bench.run(make_keys(ours))
        key = keys.agent
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
            batches=_batches(bench, served[DEFIB], keys, numbers),
        )


def parts(numbers: Sequence[int], size: int) -> list[Sequence[int]]:
    """Which VMs are in each batch; what does not fill one is left out."""
    whole = len(numbers) // size * size
    return [numbers[begin : begin + size] for begin in range(0, whole, size)]


def _batches(bench: Bench, api: Served, keys: Keys, numbers: Sequence[int]) -> Contender:
    size = bench.plan.ingest.batch
    return Contender(
        name=BATCHES,
        title=TITLES[BATCHES],
        port=api.port,
        pids={SERVER: api.record.pid, POSTGRES: bench.servers.postgres_record.pid},
        requests=[requests.batch(one, keys.relay, keys.agent) for one in parts(numbers, size)],
        reports=size,
        answer=len(requests.batch_answer(size)),
    )
