"""`defib dev up`: start what is not running, in order, and come back when all of it serves.

While the control plane is got (minutes, the first time), everything that needs none is started.
Running it again changes nothing that is as wanted.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from defib_dev.components import cache, control_plane, dashboard, node, secrets_files, valkey
from defib_dev.components.cache import Report
from defib_dev.components.certificates import Authority
from defib_dev.components.control_plane import ControlPlanePrograms
from defib_dev.components.dashboard import Dashboard
from defib_dev.components.errors import ComponentError
from defib_dev.components.kube_apiserver import KubernetesApi
from defib_dev.components.kube_apiserver import Ports as KubernetesPorts
from defib_dev.components.kubectl import Kubectl
from defib_dev.components.node import Node
from defib_dev.components.postgres import PostgresServer
from defib_dev.components.processes import is_running
from defib_dev.components.valkey import ValkeyServer
from defib_dev.stack import demo, resources
from defib_dev.stack import state as states
from defib_dev.stack.layout import StackFolder, StackPorts
from defib_dev.stack.programs import Programs
from defib_dev.stack.progress import Board
from defib_dev.stack.runner import Runner, Service
from defib_dev.stack.state import StackState

DATABASE = "defib"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for. `port_offset` None: as before, 0 at first."""

    folder: StackFolder
    port_offset: int | None = None
    demo: bool = True


@dataclass(frozen=True, slots=True)
class ControlPlaneAndTool:
    """What the background work brings."""

    servers: ControlPlanePrograms
    kubectl: Path


@dataclass(frozen=True, slots=True)
class Page:
    """The built dashboard, and the Node that serves it to developers."""

    dashboard: Dashboard
    node: Node


def up(wish: Wish, board: Board) -> StackState:
    """Have the whole stack running; what it started is in the state it returns."""
    wish.folder.make()
    with cache.exclusive(wish.folder.lock, report=board.say_once(), cancelled=lambda: False):
        runner = Runner(wish.folder, states.load(wish.folder.state) or StackState())
        ports = _ports(wish, runner.state)
        runner.settle(port_offset=ports.offset, demo=wish.demo)
        _Up(wish, board, runner, ports, Programs(wish.folder, ports)).run()
        return runner.state


def _ports(wish: Wish, state: StackState) -> StackPorts:
    """The ports asked for; running processes do not move."""
    if wish.port_offset is None or wish.port_offset == state.port_offset:
        return StackPorts(state.port_offset)
    if any(is_running(record) for record in state.processes):
        raise ComponentError(
            f"this stack runs with --port-offset {state.port_offset}. Stop it first (defib dev "
            f"down), or give the other one its own folder: --state-dir"
        )
    return StackPorts(wish.port_offset)


@dataclass(slots=True)
class _Up:
    wish: Wish
    board: Board
    runner: Runner
    ports: StackPorts
    programs: Programs

    def run(self) -> None:
        """Everything, in order; the control plane's programs come meanwhile."""
        database, redis = self._database(), self._redis()
        self._check_ports()
        self.runner.keep_only(self._wanted_names())
        cancelled = threading.Event()
        with ThreadPoolExecutor(1) as background:
            try:
                getting = background.submit(self._get_control_plane, cancelled.is_set)
                simulator_is_new = self._start_what_needs_no_cluster(database, redis)
                self._start_cluster(getting)
            except BaseException:
                cancelled.set()
                raise
        if self.wish.demo and simulator_is_new:
            self._ensure(self.programs.story(demo.STORY_HOSTNAME, demo.STORY_VMID))

    def _start_what_needs_no_cluster(self, database: PostgresServer, redis: ValkeyServer) -> bool:
        """True when the simulator is new, so that its guests have all just started."""
        self._start_database(database)
        self._start_redis(redis)
        with self.board.step("database schema"):
            self.programs.migrate()
        with self.board.step("tokens"):
            self.programs.ensure_tokens()
        simulator_is_new = self._ensure(self._proxmox())
        page = self._build_page()
        self._ensure(self.programs.api(page.dashboard.built if page else None))
        if page:
            self._ensure(self.programs.dashboard(page.dashboard, page.node))
        if self.wish.demo:
            self._ensure(self.programs.fleet())
        return simulator_is_new

    def _build_page(self) -> Page | None:
        """The dashboard's page. Without one everything else works: say why there is none."""
        found = dashboard.of_checkout()
        if found is None:
            return None
        try:
            with self.board.step("the page of the dashboard") as report:
                with_node = node.find()
                found.build(with_node, report)
        except ComponentError as error:
            self.board.warn(f"no dashboard: {error}")
            return None
        return Page(found, with_node)

    def _start_cluster(self, getting: Future[ControlPlaneAndTool]) -> None:
        """The Kubernetes API, what the operator finds there, and the operator."""
        got = getting.result()
        api = KubernetesApi(got.servers, self.wish.folder.kubernetes, self._kubernetes_ports())
        api.prepare()
        self._ensure(Service("etcd", api.etcd_spec(), self._etcd_ports(), api.etcd_missing))
        serving = (self.ports.apiserver,)
        apiserver = Service("the Kubernetes API server", api.apiserver_spec(), serving, api.missing)
        self._ensure(apiserver)
        with self.board.step("custom resources"):
            kubectl = Kubectl(got.kubectl, api.kubeconfig)
            resources.apply(kubectl, self.programs, self._proxmox_authority(), self.wish.demo)
        self._ensure(self.programs.operator())

    def _get_control_plane(self, cancelled: Callable[[], bool]) -> ControlPlaneAndTool:
        """In a thread: found at once, or built."""

        def obtain(report: Report) -> ControlPlaneAndTool:
            servers = control_plane.obtain(report, cancelled)
            return ControlPlaneAndTool(servers, control_plane.obtain_kubectl(report, cancelled))

        if control_plane.find() and control_plane.find_kubectl():
            return obtain(lambda _: None)
        title = "control plane, built from source once per user"
        with self.board.step(title) as report:
            return obtain(report)

    def _ensure(self, service: Service) -> bool:
        if self.runner.is_running(service):
            self.board.done(service.title, "(runs already)")
            return self.runner.ensure(service)
        with self.board.step(service.title):
            return self.runner.ensure(service)

    def _database(self) -> PostgresServer:
        return PostgresServer.at(self.wish.folder.postgres, self.ports.postgres)

    def _redis(self) -> ValkeyServer:
        return ValkeyServer(valkey.find(), self.wish.folder.valkey, self.ports.valkey)

    def _start_database(self, server: PostgresServer) -> None:
        title = f"PostgreSQL {server.programs.version}"
        listening = (self.ports.postgres,)
        prepare = server.prepare
        self._ensure(Service(title, server.spec(), listening, server.missing, prepare=prepare))
        password = secrets_files.ensure(self.wish.folder.secrets / "database-password")
        url = server.ensure_database(DATABASE, owner=DATABASE, password=password)
        secrets_files.write(self.programs.database_url, url)

    def _start_redis(self, server: ValkeyServer) -> None:
        listening = (self.ports.valkey,)
        prepare = server.prepare
        self._ensure(Service("Valkey", server.spec(), listening, server.missing, prepare=prepare))
        secrets_files.write(self.programs.redis_url, server.url)

    def _proxmox(self) -> Service:
        authority = self._proxmox_authority()
        identity = authority.server("proxmox")
        inventory = demo.INVENTORY if self.wish.demo else None
        trusted = authority.files.certificate
        return self.programs.proxmox(identity.certificate, identity.key, trusted, inventory)

    def _proxmox_authority(self) -> Authority:
        return Authority.ensure(self.wish.folder.pki, "proxmox-ca")

    def _kubernetes_ports(self) -> KubernetesPorts:
        return KubernetesPorts(self.ports.apiserver, *self._etcd_ports())

    def _etcd_ports(self) -> tuple[int, int]:
        return (self.ports.etcd, self.ports.etcd_peer)

    def _check_ports(self) -> None:
        """All of them, before minutes are spent on anything."""
        for name, title, wanted in (
            ("postgresql", "PostgreSQL", (self.ports.postgres,)),
            ("valkey", "Valkey", (self.ports.valkey,)),
            ("proxmox-sim", "the Proxmox simulator", (self.ports.proxmox,)),
            ("proxmox-sim", "the simulator's control interface", (self.ports.proxmox_control,)),
            ("api", "the API", (self.ports.api, self.ports.api_metrics)),
            ("dashboard", "the dashboard", (self.ports.dashboard,)),
            ("etcd", "etcd", self._etcd_ports()),
            ("kube-apiserver", "the Kubernetes API server", (self.ports.apiserver,)),
            (
                "operator",
                "the operator",
                (self.ports.operator_probes, self.ports.operator_metrics),
            ),
        ):
            self.runner.require_free_ports(name, title, wanted)

    def _wanted_names(self) -> set[str]:
        always = {
            "postgresql",
            "valkey",
            "proxmox-sim",
            "api",
            "dashboard",
            "etcd",
            "kube-apiserver",
            "operator",
        }
        return always | ({"fleet", "story"} if self.wish.demo else set())
