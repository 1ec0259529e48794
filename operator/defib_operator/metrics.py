"""The metrics of an operator process: its own work, and, while it leads, the whole fleet.

Whoever adds a figure to this process registers it here. Words in labels are those of the database.
Nothing here reads the database; figuring.py brings what is shown.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from defib_core.config.metrics_port import new_registry
from defib_core.domain.actions import UNFINISHED, Action, Phase, Source
from defib_core.domain.brakes import ScopeKind
from defib_core.domain.reasons import HoldReason, TransitionReason
from defib_core.domain.states import State
from defib_core.store.figures import Figures, VmFigures

SWEEP_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
CALL_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
RECOVERY_SECONDS = (30, 60, 120, 300, 360, 420, 600, 900, 1800, 3600, 14400)
USUAL_CHANGES = (
    (State.UNKNOWN, State.HEALTHY, TransitionReason.FIRST_HEARTBEAT),
    (State.HEALTHY, State.WARNING, TransitionReason.THRESHOLD_EXCEEDED),
    (State.WARNING, State.HEALTHY, TransitionReason.THRESHOLDS_KEPT),
    (State.HEALTHY, State.DOWN, TransitionReason.HEARTBEAT_MISSING),
    (State.WARNING, State.DOWN, TransitionReason.HEARTBEAT_MISSING),
    (State.DOWN, State.HEALTHY, TransitionReason.HEARTBEAT_FRESH),
    (State.DOWN, State.RESET_FAILED, TransitionReason.ATTEMPTS_EXHAUSTED),
    (State.RESET_FAILED, State.HEALTHY, TransitionReason.HEARTBEAT_FRESH),
)


class Metrics:
    """All figures of one operator."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        registry = self.registry = new_registry("operator")
        self.fleet = FleetFigures(monotonic)
        registry.register(self.fleet)
        self.leads = Gauge("defib_leader", "1 on the operator that leads.", registry=registry)
        self.sweeps = Histogram(
            "defib_sweep_duration_seconds",
            "How long a sweep took, looks at Proxmox included.",
            buckets=SWEEP_SECONDS,
            registry=registry,
        )
        self._calls = Histogram(
            "defib_proxmox_call_duration_seconds",
            "How long Proxmox took to answer one call.",
            ("call", "outcome"),
            buckets=CALL_SECONDS,
            registry=registry,
        )
        self._failures = Counter(
            "defib_loop_failures",
            "Loops that failed and began again.",
            ("loop",),
            registry=registry,
        )
        self.transitions = Counter(
            "defib_transitions",
            "Changes of state, counted by the leader.",
            ("from_state", "to_state", "reason"),
            registry=registry,
        )
        self.resets = Counter(
            "defib_resets",
            "Intents by how they ended, counted by the leader.",
            ("source", "action", "outcome"),
            registry=registry,
        )
        self.recoveries = Histogram(
            "defib_recovery_seconds",
            "From the last heartbeat to the first after a reset.",
            buckets=RECOVERY_SECONDS,
            registry=registry,
        )

        self._show_from_the_start()

    def _show_from_the_start(self) -> None:
        """Begin at 0 what usually happens: a first one is an increase then."""
        for from_state, to_state, reason in USUAL_CHANGES:
            self.transitions.labels(from_state, to_state, reason)
        for phase in Phase:
            if phase.is_finished:
                self.resets.labels(Source.AUTO, Action.RESET, phase)

    def know_loops(self, names: Iterable[str]) -> None:
        """Begin the failures of each loop at 0."""
        for name in names:
            self._failures.labels(name)

    def note_call(self, kind: str, outcome: str, seconds: float) -> None:
        """Note a call to Proxmox."""
        self._calls.labels(kind, outcome).observe(seconds)

    def note_failure(self, loop: str) -> None:
        """Note that a loop failed."""
        self._failures.labels(loop).inc()


@dataclass(frozen=True, slots=True)
class _Shown:
    """Figures, and when they were read."""

    figures: Figures
    vms: Sequence[VmFigures]
    read_at: float


class FleetFigures(Collector):
    """The figures that only the leader shows, so that nothing is shown twice."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._shown: _Shown | None = None

    def show(self, figures: Figures, vms: Sequence[VmFigures] = ()) -> None:
        """Show these from now on."""
        self._shown = _Shown(figures, vms, self._monotonic())

    def hide(self) -> None:
        """Show nothing: another leads, or what was read is too old to be believed."""
        self._shown = None

    def collect(self) -> Iterable[Metric]:
        """Give what is shown; ages have grown since it was read."""
        shown = self._shown
        if shown is None:
            return
        since = self._monotonic() - shown.read_at
        yield from _fleet(shown.figures)
        yield from _deciding(shown.figures, since)
        yield from _defib(shown.figures, since)
        yield from _clusters(shown.figures)
        yield from _relays(shown.figures, since)
        yield from _deliveries(shown.figures)
        yield from _coverage(shown.figures)
        if shown.vms:
            yield from _each(shown.vms, since)


def _fleet(figures: Figures) -> Iterator[Metric]:
    vms = GaugeMetricFamily("defib_vms", "VMs by state.", labels=("cluster", "state"))
    clusters = {cluster for cluster, _ in figures.vms} | {one.name for one in figures.clusters}
    for cluster in sorted(clusters):
        for state in State:
            vms.add_metric((cluster, state.value), figures.vms.get((cluster, state), 0))
    yield vms
    yield _plain(
        "defib_resets_pending", "VMs reset and not yet heard again.", figures.resets_pending
    )


def _deciding(figures: Figures, since: float) -> Iterator[Metric]:
    held = GaugeMetricFamily("defib_holds", "VMs held, by reason.", labels=("reason",))
    oldest = GaugeMetricFamily(
        "defib_hold_oldest_seconds", "Age of the oldest hold, by reason.", labels=("reason",)
    )
    for reason in HoldReason:
        vms, age = figures.holds.get(reason.value, (0, None))
        held.add_metric((reason.value,), vms)
        oldest.add_metric((reason.value,), 0 if age is None else age + since)
    yield held
    yield oldest
    phases = sorted(phase.value for phase in UNFINISHED)
    yield _by_word("defib_intents", "Unfinished intents.", "phase", phases, figures.intents)
    kinds = [kind.value for kind in ScopeKind]
    yield _by_word("defib_brakes", "Brakes in force.", "kind", kinds, figures.brakes)
    yield _plain("defib_global_stop", "1 while everything is stopped.", figures.global_stop)


def _defib(figures: Figures, since: float) -> Iterator[Metric]:
    yield _plain(
        "defib_statuses_waiting", "Statuses of VMs to be written.", figures.statuses_waiting
    )
    yield _plain("defib_ingest_replicas", "API replicas that store reports.", figures.replicas)
    yield _plain(
        "defib_partitions_ahead_seconds",
        "How far ahead reports have partitions.",
        figures.partitions_ahead - since,
    )
    for name, text, age in (
        ("defib_sweep_age_seconds", "Since the last sweep.", figures.sweep_age),
        ("defib_kubernetes_age_seconds", "Since Kubernetes was heard.", figures.kubernetes_age),
        (
            "defib_ingest_proof_age_seconds",
            "Since an API replica proved itself.",
            figures.proof_age,
        ),
    ):
        if age is not None:
            yield _plain(name, text, age + since)


def _deliveries(figures: Figures) -> Iterator[Metric]:
    found = figures.deliveries
    yield _plain("defib_deliveries_waiting", "Messages to people that wait.", found.waiting)
    yield _plain(
        "defib_deliveries_overdue_seconds", "Age of the oldest that is due.", found.overdue
    )
    yield _plain("defib_deliveries_dead", "Messages given up within a day.", found.dead)


def _coverage(figures: Figures) -> Iterator[Metric]:
    family = GaugeMetricFamily(
        "defib_coverage",
        "VMs without an agent, agents without a VM, and VMs that nobody may reset.",
        labels=("kind",),
    )
    for kind, vms in asdict(figures.coverage).items():
        family.add_metric((kind,), vms)
    yield family


def _clusters(figures: Figures) -> Iterator[Metric]:
    reachable = GaugeMetricFamily(
        "defib_proxmox_reachable", "1 while a Proxmox cluster answers.", labels=("cluster",)
    )
    quorate = GaugeMetricFamily(
        "defib_proxmox_quorate", "1 while a Proxmox cluster has a quorum.", labels=("cluster",)
    )
    nodes = GaugeMetricFamily(
        "defib_proxmox_nodes", "Nodes of a Proxmox cluster.", labels=("cluster", "online")
    )
    for one in figures.clusters:
        if one.reachable is not None:
            reachable.add_metric((one.name,), one.reachable)
        if one.quorate is not None:
            quorate.add_metric((one.name,), one.quorate)
        nodes.add_metric((one.name, "true"), one.nodes_online)
        nodes.add_metric((one.name, "false"), one.nodes_offline)
    yield from (reachable, quorate, nodes)


def _relays(figures: Figures, since: float) -> Iterator[Metric]:
    proofs = GaugeMetricFamily(
        "defib_relay_proof_age_seconds", "Since a relay proved itself.", labels=("relay",)
    )
    waiting = GaugeMetricFamily(
        "defib_relay_said_waiting", "Reports on a relay's disk, as it said.", labels=("relay",)
    )
    lost = GaugeMetricFamily(
        "defib_relay_said_lost", "Reports a relay dropped, as it said.", labels=("relay",)
    )
    for one in figures.relays:
        if one.proof_age is not None:
            proofs.add_metric((one.name,), one.proof_age + since)
        waiting.add_metric((one.name,), one.waiting)
        lost.add_metric((one.name,), one.lost)
    yield from (proofs, waiting, lost)


def _each(vms: Sequence[VmFigures], since: float) -> Iterator[Metric]:
    labels = ("vm", "hostname", "cluster")
    state = GaugeMetricFamily("defib_vm_state", "1 for a VM's state.", labels=(*labels, "state"))
    age = GaugeMetricFamily(
        "defib_vm_heartbeat_age_seconds", "Since a VM's last heartbeat.", labels=labels
    )
    cpu = GaugeMetricFamily("defib_vm_cpu_percent", "CPU use of a VM.", labels=labels)
    ram = GaugeMetricFamily("defib_vm_ram_percent", "RAM use of a VM.", labels=labels)
    attempts = GaugeMetricFamily("defib_vm_reset_attempts", "Attempts of a VM.", labels=labels)
    for one in vms:
        who = (f"vm_{one.vm_id}", one.hostname, one.cluster)
        state.add_metric((*who, one.state.value), 1)
        attempts.add_metric(who, one.reset_attempts)
        if one.heartbeat_age is not None:
            age.add_metric(who, one.heartbeat_age + since)
        if one.cpu is not None:
            cpu.add_metric(who, one.cpu)
        if one.ram is not None and one.ram_total:
            ram.add_metric(who, 100 * one.ram / one.ram_total)
    yield from (state, age, cpu, ram, attempts)


def _plain(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _by_word(
    name: str, text: str, label: str, words: Sequence[str], found: Mapping[str, int]
) -> Metric:
    family = GaugeMetricFamily(name, text, labels=(label,))
    for word in words:
        family.add_metric((word,), found.get(word, 0))
    return family
