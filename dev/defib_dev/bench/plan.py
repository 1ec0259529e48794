"""How long and how large the measurements are; nothing else tells a full run from a quick one."""

from dataclasses import dataclass, field, replace
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How one server is loaded, each repeat with connections of its own."""

    repeats: int
    wires: int
    warm_up: float
    """Seconds, answered but not counted."""
    closed: float
    """Seconds of the next request as soon as an answer comes."""
    opened: float
    """Seconds of arrivals on schedule."""


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """The reports."""

    load: LoadPlan
    vms: int
    rate: float = 3333.0
    """Reports a second on schedule: 100,000 VMs every 30 s."""
    share_of_most: float = 0.7
    """Of what a server can take at most, where that is less than `rate`."""
    burst_factor: float = 10.0
    burst_seconds: float = 3.0
    burst_drain: float = 60.0
    burst_wires: int = 1000
    batch: int = 100
    """Reports a request, as relays send them."""
    batch_wires: int = 16
    """Relays that send at once."""
    statement_seconds: float = 3.0
    copied_rows: int = 200_000


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """The sweeps."""

    sizes: tuple[int, ...]
    repeats: int


@dataclass(frozen=True, slots=True)
class ReadsPlan:
    """The dashboard's reads."""

    load: LoadPlan
    sizes: tuple[int, ...]
    rate: float = 50.0
    """Reads a second on schedule: 250 dashboards that ask every 5 s."""


@dataclass(frozen=True, slots=True)
class HistoryPlan:
    """The history: every VM reported every `interval` for the last `span`."""

    vms: int
    asked: int
    """So many different VMs are asked for, by and by."""
    repeats: int
    api: LoadPlan
    span: timedelta = timedelta(hours=24)
    interval: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class PagePlan:
    """The dashboard in a browser: how large the fleet is, and how often each thing is done."""

    vms: int = 10_000
    views: int = 10
    interactions: int = 30
    minutes: float = 1.0
    """How long the page is left open to watch its memory."""


@dataclass(frozen=True, slots=True)
class OperatorPlan:
    """The operator."""

    sizes: tuple[int, ...] = (1_000, 10_000, 100_000)
    """Objects."""
    silent: int = 10_000
    """VMs that fall silent at once, or all there are."""
    patched: int = 2_000
    """Statuses that the client writes which does nothing else."""
    statuses_seconds: float = 30.0
    """So long first statuses are watched being written."""
    rest: float = 120.0
    """Seconds to wait for it to have nothing to do."""
    patience: float = 600.0


@dataclass(frozen=True, slots=True)
class SafetyPlan:
    """Incidents in the policy simulator, and guests that hang on the whole stack."""

    outages: int = 1
    kills: int = 1
    busy: int = 1
    deaths: int = 1
    frozen: int = 0
    """None: no stack is started."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One kind of run. What does not fit into `seconds` any more is left out, and said so."""

    mode: str
    seconds: float
    ingest: IngestPlan
    sweep: SweepPlan
    reads: ReadsPlan
    history: HistoryPlan
    page: PagePlan = PagePlan()
    operator: OperatorPlan = OperatorPlan()
    safety: SafetyPlan = field(default_factory=SafetyPlan)
    postgres: dict[str, str] = field(default_factory=dict)
    """Settings beyond PostgreSQL's own defaults."""

    def watching(self, minutes: float) -> "Plan":
        """The same, with the page's memory watched for so long on top of the time there is."""
        more = (minutes - self.page.minutes) * 60
        return replace(self, seconds=self.seconds + more, page=replace(self.page, minutes=minutes))


POSTGRES = {"shared_buffers": "1GB", "max_wal_size": "4GB"}

FULL = Plan(
    mode="full",
    seconds=40 * 60,
    ingest=IngestPlan(LoadPlan(3, wires=256, warm_up=2, closed=6, opened=10), vms=100_000),
    sweep=SweepPlan(sizes=(10_000, 100_000, 1_000_000), repeats=5),
    reads=ReadsPlan(LoadPlan(3, wires=8, warm_up=0.5, closed=1.5, opened=2), sizes=(1_000, 10_000)),
    history=HistoryPlan(
        vms=10_000,
        asked=200,
        repeats=3,
        api=LoadPlan(3, wires=1, warm_up=0.5, closed=2, opened=2),
    ),
    safety=SafetyPlan(outages=6, kills=25, busy=24, deaths=4, frozen=24),
    postgres=POSTGRES,
)
QUICK = Plan(
    mode="quick",
    seconds=4.75 * 60,
    ingest=IngestPlan(
        LoadPlan(3, wires=256, warm_up=0.75, closed=3, opened=3.5),
        vms=10_000,
        burst_drain=12,
        statement_seconds=1,
        copied_rows=100_000,
    ),
    sweep=SweepPlan(sizes=(10_000, 100_000), repeats=5),
    reads=ReadsPlan(LoadPlan(2, wires=8, warm_up=0.3, closed=0.7, opened=1), sizes=(1_000, 10_000)),
    history=HistoryPlan(
        vms=1_000,
        asked=100,
        repeats=3,
        api=LoadPlan(2, wires=1, warm_up=0.3, closed=0.7, opened=1),
    ),
    operator=OperatorPlan(sizes=(1_000,), statuses_seconds=5, rest=20, patched=500),
    safety=SafetyPlan(outages=3, kills=5, busy=6, deaths=1),
    postgres=POSTGRES,
)
