"""The simulated cluster: nodes, guests, tasks, and what happens to them as time goes by.

Pure: no I/O, and time comes in as `now`. Nothing ticks: what falls due is carried out, at its own
time, when anybody looks (`advance`). So an hour of thousands of VMs costs next to nothing.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID, uuid5

from defib_dev.proxmox_sim.access import AccessControl
from defib_dev.proxmox_sim.faults import ApiMode, PostFault, PostRecord
from defib_dev.proxmox_sim.guest import Guest, Kind
from defib_dev.proxmox_sim.machine import Machine, Power, SimulatedMachine
from defib_dev.proxmox_sim.tasks import UNEXPECTED, Task, TaskBook

SMBIOS_NAMESPACE = UUID("4be0a5b6-5f1d-4b0e-8f5c-0b7d3f6f2d11")
DEFAULT_BOOT = timedelta(seconds=60)


class ModelError(Exception):
    """What was asked of the model makes no sense; the text says what would."""


@dataclass(slots=True)
class Timing:
    """How long things take. Defaults as on a healthy cluster."""

    task: timedelta = timedelta(seconds=1)
    flock_patience: timedelta = timedelta(seconds=10)
    ha_delay: timedelta = timedelta(seconds=10)
    broadcast_lag: timedelta = timedelta(seconds=10)
    """How late the cluster's list hears that a VM was started or stopped."""
    forget_node: timedelta = timedelta(minutes=5)
    """After this a dead node's VMs are `unknown` in the list; until then as they last were."""
    latency: timedelta = timedelta(0)
    """How long the API takes to answer over HTTP."""


@dataclass(slots=True)
class Node:
    """A node of the cluster, and what ran on it when it went away."""

    name: str
    online: bool = True
    offline_since: datetime | None = None
    ran: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGuest:
    """What is said of a guest when it is made. `node` None: the first."""

    vmid: int
    name: str
    node: str | None = None
    uuid: str | None = None
    kind: Kind = Kind.QEMU
    boots: timedelta | None = DEFAULT_BOOT
    dies_after: timedelta | None = None
    power: Power = Power.RUNNING
    template: bool = False
    machine: Machine | None = None
    """What stands behind it where that is not simulated; it is started with the guest."""


class Datacenter:
    """A Proxmox cluster. Call `advance(now)` before looking at it; the methods here do."""

    def __init__(self, nodes: Iterable[str], *, timing: Timing | None = None) -> None:
        self.nodes = {name: Node(name) for name in nodes}
        if not self.nodes:
            raise ModelError("a cluster needs at least one node")
        self.cluster_name = "simulated"
        self.timing = timing or Timing()
        self.access = AccessControl()
        self.guests: dict[int, Guest] = {}
        self.tasks = TaskBook()
        self.posts: list[PostRecord] = []
        self.next_posts: deque[PostFault] = deque()
        self.mode = ApiMode.OK
        self.now = datetime.min.replace(tzinfo=UTC)
        self._agenda: list[tuple[datetime, int, Callable[[datetime], None]]] = []
        self._order = count()
        self._gone: dict[int, Guest] = {}

    @property
    def has_quorum(self) -> bool:
        """Whether more than half of the nodes agree."""
        return self.mode is not ApiMode.NO_QUORUM

    def advance(self, now: datetime) -> None:
        """Carry out what has fallen due, each at its own time. Time never runs backwards."""
        while self._agenda and self._agenda[0][0] <= now:
            due, _, act = heapq.heappop(self._agenda)
            self.now = max(self.now, due)
            act(due)
        self.now = max(self.now, now)

    def at(self, due: datetime, act: Callable[[datetime], None]) -> None:
        """Have something done later."""
        heapq.heappush(self._agenda, (due, next(self._order), act))

    def add_guest(self, new: NewGuest, now: datetime) -> Guest:
        """Create a guest that has been up for long, unless it is said to be in another state."""
        self.advance(now)
        if new.vmid in self.guests:
            raise ModelError(f"VMID {new.vmid} is taken by {self.guests[new.vmid].name}")
        node = self.node(new.node or next(iter(self.nodes)))
        machine = new.machine or _simulated(new, now)
        if new.machine is not None and new.power is Power.RUNNING:
            machine.start(now)
        uuid = new.uuid or str(uuid5(SMBIOS_NAMESPACE, f"{new.vmid}/{new.name}"))
        guest = Guest(
            new.vmid, new.name, node.name, uuid, machine, kind=new.kind, template=new.template
        )
        guest.agent = new.machine is None
        self.guests[new.vmid] = guest
        return guest

    def node(self, name: str) -> Node:
        """Find a node. Raises ModelError."""
        if name not in self.nodes:
            raise ModelError(f"there is no node {name!r}; known: {', '.join(self.nodes)}")
        return self.nodes[name]

    def guest(self, vmid: int) -> Guest:
        """Find a guest. Raises ModelError."""
        if vmid not in self.guests:
            raise ModelError(f"there is no guest {vmid}")
        return self.guests[vmid]

    def guest_on(self, node: str, vmid: int) -> Guest | None:
        """Find a VM (no container) by its configuration on this node."""
        guest = self.guests.get(vmid)
        here = guest is not None and guest.node == node and guest.kind is Kind.QEMU
        return guest if here else None

    def reports(self, guest: Guest, now: datetime) -> bool:
        """Whether Defib's agent in this guest sends heartbeats now."""
        return self.nodes[guest.node].online and guest.machine.reports(now)

    def remove(self, vmid: int, now: datetime) -> None:
        """Destroy a guest. `restore` brings it back."""
        self.advance(now)
        self._gone[vmid] = self.guest(vmid)
        self.guests.pop(vmid)

    def restore(self, vmid: int, now: datetime) -> None:
        """Bring a destroyed guest back as it was."""
        self.advance(now)
        if vmid not in self.guests:
            if vmid not in self._gone:
                raise ModelError(f"there never was a guest {vmid}")
            self.guests[vmid] = self._gone.pop(vmid)

    def set_power(self, guest: Guest, power: Power, now: datetime) -> None:
        """Let a guest's power change from outside."""
        self.advance(now)
        guest.simulated.set_power(power, now)
        guest.note_status(now)

    def set_online(self, name: str, *, online: bool, now: datetime) -> None:
        """Take a node away with all that runs on it, or bring it back: then its guests boot."""
        self.advance(now)
        node = self.node(name)
        if online == node.online:
            return
        node.online = online
        if online:
            self._boot_what_ran(node, now)
        else:
            self._kill_all_on(node, now)

    def begin_task(self, *, node: str, task_type: str, vmid: int, user: str) -> Task:
        """Fork a worker now."""
        return self.tasks.begin(node=node, task_type=task_type, vmid=vmid, user=user, now=self.now)

    def _kill_all_on(self, node: Node, now: datetime) -> None:
        node.offline_since = now
        node.ran = {one.vmid for one in self._on(node) if one.status == "running"}
        for guest in self._on(node):
            guest.machine.stop(now)
        for task in self.tasks.on(node.name):
            self.tasks.end(task, UNEXPECTED, now)

    def _boot_what_ran(self, node: Node, now: datetime) -> None:
        node.offline_since = None
        for guest in self._on(node):
            if guest.vmid in node.ran:
                guest.machine.start(now)
            guest.note_status(now)

    def _on(self, node: Node) -> list[Guest]:
        return [guest for guest in self.guests.values() if guest.node == node.name]


def _simulated(new: NewGuest, now: datetime) -> SimulatedMachine:
    machine = SimulatedMachine(str(new.vmid), boots=new.boots, dies_after=new.dies_after)
    if not new.template and new.power is not Power.STOPPED:
        machine.already_up(now)
        machine.set_power(new.power, now)
    return machine
