"""`up` starts everything once, `down` leaves nothing: on real servers, with a stand-in for Defib.

The stand-in only answers on the ports; what Defib itself does is the end-to-end suite's business.
"""

import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest
from rich.console import Console
from typer.testing import CliRunner

from defib_cli.dev_commands import app
from defib_dev.components import control_plane, dashboard, node
from defib_dev.components.cache import Report
from defib_dev.components.control_plane import ControlPlanePrograms
from defib_dev.components.errors import (
    BuildError,
    ComponentError,
    MissingComponentError,
    NotReadyError,
    PortInUseError,
)
from defib_dev.components.kubectl import Kubectl
from defib_dev.components.processes import ProcessRecord, is_running
from defib_dev.stack import describe, programs
from defib_dev.stack import state as states
from defib_dev.stack.describe import StackView
from defib_dev.stack.down import down
from defib_dev.stack.layout import StackFolder, StackPorts
from defib_dev.stack.progress import Board
from defib_dev.stack.state import StackState
from defib_dev.stack.up import Wish, up
from support.folders import server_folder
from support.ports import free_offset
from support.waiting import eventually

STAND_IN = Path(__file__).parents[1] / "support" / "stand_in_program.py"
EVERYTHING = {
    "postgresql",
    "valkey",
    "proxmox-sim",
    "api",
    "fleet",
    "etcd",
    "kube-apiserver",
    "operator",
    "story",
}
CHECKOUT = dashboard.of_checkout
DEMO_ONLY = {"fleet", "story"}


def quiet_board() -> Board:
    return Board(Console(file=StringIO()))


class Stack:
    """A stack of a test's own, brought down at its end."""

    def __init__(self, root: Path) -> None:
        self.folder = StackFolder(root / "stack")
        self.offset = free_offset()

    def up(self, *, demo: bool = True, offset: int | None = None) -> StackState:
        wish = Wish(self.folder, self.offset if offset is None else offset, demo=demo)
        return up(wish, quiet_board())

    def down(self, *, purge: bool = False) -> bool:
        return down(self.folder, quiet_board(), purge=purge)

    @property
    def state(self) -> StackState:
        state = states.load(self.folder.state)
        assert state is not None
        return state

    @property
    def view(self) -> StackView:
        return describe.view(self.folder, self.state)

    def running(self) -> set[str]:
        return {record.name for record in self.state.processes if is_running(record)}

    def record(self, name: str) -> ProcessRecord:
        record = self.state.record(name)
        assert record is not None
        return record


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_PROGRAM", (sys.executable, str(STAND_IN)))
    monkeypatch.setattr(dashboard, "of_checkout", lambda: None)


@pytest.fixture
def stack() -> Iterator[Stack]:
    with server_folder("stack") as root:
        made = Stack(root)
        yield made
        made.down(purge=True)


def pids(state: StackState) -> set[int]:
    return {record.pid for record in state.processes}


def test_up_starts_everything_and_again_starts_nothing_and_down_leaves_nothing(
    stack: Stack,
) -> None:
    first = stack.up()
    assert stack.running() == EVERYTHING
    assert stack.up() == first
    assert stack.running() == EVERYTHING

    with psycopg.connect(stack.view["database_url"]) as connection:
        connection.execute("create table kept as select 42 as answer")
        tables = connection.execute("select tablename from pg_tables where schemaname = 'public'")
        assert {"kept", "migrated"} == {name for (name,) in tables}
    view = stack.view
    assert stack.down()
    assert not any(psutil.pid_exists(pid) for pid in pids(first))
    assert stack.state.processes == ()
    assert not stack.down()

    stack.up(demo=False)
    assert stack.running() == EVERYTHING - DEMO_ONLY
    assert stack.view["agent_key"] == view["agent_key"]
    assert stack.view["database_url"] == view["database_url"]
    with psycopg.connect(view["database_url"]) as connection:
        assert connection.execute("select answer from kept").fetchone() == (42,)
    assert stack.down(purge=True)
    assert not stack.folder.root.exists()


def test_the_cluster_holds_what_the_operator_needs_to_find(stack: Stack) -> None:
    stack.up()
    kubectl = Kubectl(control_plane.require_kubectl(), Path(stack.view["kubeconfig"]))

    def get(*what: str) -> dict[str, object]:
        answer = json.loads(kubectl.run("get", *what, "--namespace=defib", "--output=json"))
        assert isinstance(answer, dict)
        return answer

    cluster = get("proxmoxcluster", "default")["spec"]
    assert isinstance(cluster, dict)
    assert cluster["endpoints"] == [stack.view["proxmox"]["url"]]
    assert cluster["caBundle"] == Path(stack.view["proxmox"]["ca"]).read_text()
    assert get("secret", cluster["tokenSecretRef"]["name"])["data"]
    config = get("systemconfig", "default")["spec"]
    assert isinstance(config, dict)
    assert config["staleTimeoutMs"] == 20_000
    machines = get("virtualmachines")["items"]
    assert isinstance(machines, list)
    assert len(machines) == 4

    kubectl.run("delete", "virtualmachine", "legacy-01", "--namespace=defib")
    change = '{"spec": {"staleTimeoutMs": 30000}}'
    kubectl.run("patch", "dsc", "default", "--namespace=defib", "--type=merge", f"-p={change}")
    stack.up()
    config = get("systemconfig", "default")["spec"]
    assert isinstance(config, dict)
    assert config["staleTimeoutMs"] == 30_000, "up took back what the user changed"
    machines = get("virtualmachines")["items"]
    assert isinstance(machines, list)
    assert len(machines) == 3, "up brought back what the user deleted"


def test_up_starts_again_what_died_and_leaves_the_rest_alone(stack: Stack) -> None:
    before = stack.up()
    dead = stack.record("api")
    psutil.Process(dead.pid).send_signal(signal.SIGKILL)
    eventually(lambda: not is_running(dead), what="the API is dead")
    after = stack.up()
    assert stack.record("api").pid != dead.pid
    assert pids(before) - pids(after) == {dead.pid}
    assert stack.running() == EVERYTHING


def test_without_the_demo_the_fleet_stops_and_the_guests_are_gone(stack: Stack) -> None:
    stack.up()
    simulator = stack.record("proxmox-sim")
    assert any("inventory.yaml" in word for word in simulator.argv)
    stack.up(demo=False)
    assert stack.running() == EVERYTHING - DEMO_ONLY
    assert not is_running(simulator)
    assert not any("inventory.yaml" in word for word in stack.record("proxmox-sim").argv)


def test_a_taken_port_is_named_before_anything_is_started(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", StackPorts(stack.offset).api)):
        with pytest.raises(PortInUseError, match=r"the API needs it.*--port-offset"):
            stack.up()
        assert stack.running() == set()


def test_a_running_stack_does_not_move_to_other_ports(stack: Stack) -> None:
    stack.up(demo=False)
    with pytest.raises(ComponentError, match=rf"runs with --port-offset {stack.offset}\. Stop it"):
        stack.up(offset=stack.offset + 1)


def test_two_stacks_run_side_by_side() -> None:
    with server_folder("one") as first, server_folder("two") as second:
        stacks = [Stack(first), Stack(second)]
        try:
            for stack in stacks:
                stack.up(demo=False)
            assert [stack.running() for stack in stacks] == [EVERYTHING - DEMO_ONLY] * 2
            stacks[0].down()
            assert stacks[1].running() == EVERYTHING - DEMO_ONLY
        finally:
            for stack in stacks:
                stack.down(purge=True)


def test_a_program_that_dies_is_shown_with_its_last_words_and_can_be_cleaned_up(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_DIES_AT", "api serve")
    with pytest.raises(NotReadyError, match=r"(?s)api ended before it was ready.*no such setting"):
        stack.up()
    assert {"postgresql", "valkey", "proxmox-sim"} <= stack.running()
    started = pids(stack.state)
    assert stack.down()
    assert not any(psutil.pid_exists(pid) for pid in started)


def test_what_needs_no_control_plane_serves_while_that_is_still_built(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = control_plane.require()
    api = f"http://127.0.0.1:{StackPorts(stack.offset).api}/readyz"
    seen = threading.Event()

    def build(report: Report, cancelled: Callable[[], bool]) -> ControlPlanePrograms:
        report("kube-apiserver: 1 of at most 2 packages")
        eventually(lambda: answers(api), what="the API serves meanwhile", deadline_seconds=60)
        seen.set()
        return found

    kubectl = control_plane.require_kubectl()
    monkeypatch.setattr(control_plane, "find", lambda: None)
    monkeypatch.setattr(control_plane, "obtain", build)
    monkeypatch.setattr(control_plane, "obtain_kubectl", lambda *_: kubectl)
    stack.up(demo=False)
    assert seen.is_set()
    assert "operator" in stack.running()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def test_a_failed_build_leaves_up_what_needs_no_control_plane(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(report: Report, cancelled: Callable[[], bool]) -> ControlPlanePrograms:
        raise BuildError("building etcd failed")

    monkeypatch.setattr(control_plane, "find", lambda: None)
    monkeypatch.setattr(control_plane, "obtain", fail)
    with pytest.raises(BuildError, match="building etcd failed"):
        stack.up()
    assert stack.running() == {"postgresql", "valkey", "proxmox-sim", "api", "fleet"}


def test_a_failure_elsewhere_ends_the_build(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def build(report: Report, cancelled: Callable[[], bool]) -> ControlPlanePrograms:
        eventually(cancelled, what="the build is told to end", deadline_seconds=30)
        ended.set()
        raise BuildError("cancelled")

    def refuse(_: programs.Programs) -> None:
        raise ComponentError("no schema")

    monkeypatch.setattr(control_plane, "find", lambda: None)
    monkeypatch.setattr(control_plane, "obtain", build)
    monkeypatch.setattr(programs.Programs, "migrate", refuse)
    with pytest.raises(ComponentError, match="no schema"):
        stack.up()
    assert ended.is_set()


def test_the_page_is_built_served_and_announced(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "of_checkout", CHECKOUT)
    state = stack.up()

    assert stack.running() == EVERYTHING | {"dashboard"}
    page = httpx.get(stack.view["dashboard"], trust_env=False)
    assert "<title>Defib</title>" in page.text
    behind = httpx.get(stack.view["dashboard"] + "/api/status", trust_env=False)
    assert behind.json() == {"vms": {"total": 1}}
    assert describe.dashboard(stack.folder, state).startswith(stack.view["dashboard"] + " (sign in")


def test_without_a_node_all_but_the_page_is_up(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> node.Node:
        raise MissingComponentError("Node", looked_in=("here",), remedy="install it")

    monkeypatch.setattr(dashboard, "of_checkout", CHECKOUT)
    monkeypatch.setattr(node, "find", missing)
    state = stack.up()

    assert stack.running() == EVERYTHING
    assert describe.dashboard(stack.folder, state) == "none, see above"


def test_status_prints_exactly_what_other_programs_rely_on(stack: Stack) -> None:
    stack.up()
    command = ["status", "--json", "--state-dir", str(stack.folder.root)]
    printed = json.loads(CliRunner().invoke(app, command).stdout)
    assert list(printed) == [
        "api",
        "dashboard",
        "kubeconfig",
        "database_url",
        "redis_url",
        "metrics",
        "proxmox",
        "agent_key",
        "admin_token",
        "processes",
    ]
    assert set(printed["proxmox"]) == {"url", "ca", "token_id", "token_secret", "control"}
    assert all(printed["proxmox"].values())
    assert all(printed[key] for key in list(printed))
    assert {"name", "pid", "running", "log"} == set(printed["processes"][0])
    assert all(process["running"] for process in printed["processes"])
    assert all(Path(process["log"]).exists() for process in printed["processes"])
    assert printed["agent_key"].startswith("agent-")
    assert printed["admin_token"].startswith("admin-")
    with httpx.Client(trust_env=False) as client:
        assert client.get(printed["api"] + "/readyz").is_success


def test_no_secret_is_on_a_command_line_or_in_an_environment(stack: Stack) -> None:
    stack.up()
    view = stack.view
    secrets = {
        view["agent_key"],
        view["admin_token"],
        view["proxmox"]["token_secret"],
        view["database_url"].split(":")[2].split("@")[0],
        view["redis_url"].split(":")[2].split("@")[0],
    }
    assert all(len(secret) > 10 for secret in secrets)
    for record in stack.state.processes:
        process = psutil.Process(record.pid)
        visible = " ".join([*process.cmdline(), *process.environ().values()])
        assert not [secret for secret in secrets if secret in visible], record.name
    others = [path for path in stack.folder.secrets.iterdir() if path.stat().st_mode & 0o077]
    assert others == []


def test_status_of_no_stack_says_how_to_start_one(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["status", "--state-dir", str(tmp_path / "none")])
    assert answer.exit_code == 1
    assert "Start one: defib dev up" in " ".join(answer.output.split())
    assert not (tmp_path / "none").exists()


def test_down_of_no_stack_is_no_error(tmp_path: Path) -> None:
    answer = CliRunner().invoke(app, ["down", "--state-dir", str(tmp_path / "none")])
    assert answer.exit_code == 0
    assert "Nothing was running." in answer.output
