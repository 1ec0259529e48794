"""What a stack looks like from outside: for people, and as JSON for programs."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from defib_dev.components import control_plane
from defib_dev.components.processes import is_running
from defib_dev.stack.demo import STORY_HOSTNAME
from defib_dev.stack.layout import StackFolder, StackPorts, loopback
from defib_dev.stack.programs import NAMESPACE, TOKEN_ID, Programs
from defib_dev.stack.state import StackState


class ProxmoxView(TypedDict):
    """How to reach the Proxmox simulator. `ca` is a file."""

    url: str
    ca: str
    token_id: str
    token_secret: str
    control: str


class ProcessView(TypedDict):
    """One process."""

    name: str
    pid: int
    running: bool
    log: str


class StackView(TypedDict):
    """Everything another program needs. Holds secrets."""

    api: str
    dashboard: str
    kubeconfig: str
    database_url: str
    redis_url: str
    metrics: dict[str, str]
    proxmox: ProxmoxView
    agent_key: str
    admin_token: str
    processes: list[ProcessView]


def view(folder: StackFolder, state: StackState) -> StackView:
    """The stack as `defib dev status --json` prints it."""
    ports = StackPorts(state.port_offset)
    programs = Programs(folder, ports)
    return StackView(
        api=loopback("http", ports.api),
        dashboard=loopback("http", ports.dashboard),
        kubeconfig=str(programs.kubeconfig),
        database_url=_text(programs.database_url),
        redis_url=_text(programs.redis_url),
        metrics={
            "api": loopback("http", ports.api_metrics) + "/metrics",
            "operator": loopback("http", ports.operator_metrics) + "/metrics",
        },
        proxmox=ProxmoxView(
            url=loopback("https", ports.proxmox),
            ca=str(folder.pki / "proxmox-ca.crt"),
            token_id=TOKEN_ID,
            token_secret=_text(programs.proxmox_secret),
            control=loopback("http", ports.proxmox_control),
        ),
        agent_key=_text(programs.agent_key),
        admin_token=_text(programs.admin_token),
        processes=processes(state),
    )


def processes(state: StackState) -> list[ProcessView]:
    """The processes; the demo's story only while it runs, for it ends by itself."""
    views = [
        ProcessView(name=record.name, pid=record.pid, running=is_running(record), log=record.log)
        for record in state.processes
    ]
    return [one for one in views if one["running"] or one["name"] != "story"]


def dashboard(folder: StackFolder, state: StackState) -> str:
    """Where the page is and how one gets in; or that there is none."""
    ports = StackPorts(state.port_offset)
    if state.record("dashboard") is None:
        return "none, see above"
    token = short(Programs(folder, ports).admin_token)
    return f"{loopback('http', ports.dashboard)} (sign in with the token in {token})"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something to try: what it shows, and the command."""

    text: str
    command: str


def suggestions(folder: StackFolder, state: StackState) -> list[Suggestion]:
    """Things to try, to be pasted as they are; with the demo, three."""
    ports = StackPorts(state.port_offset)
    programs = Programs(folder, ports)
    api, control = loopback("http", ports.api), loopback("http", ports.proxmox_control)
    token = f'-H "Authorization: Bearer $(cat {short(programs.admin_token)})"'
    kubectl = f"KUBECONFIG={short(programs.kubeconfig)} {_kubectl()} --namespace {NAMESPACE}"
    ask = Suggestion("Ask the API", f"curl -s {token} {api}/api/status")
    if not state.demo:
        return [Suggestion("See what the operator sees", f"{kubectl} get defib"), ask]
    patch = """-X PATCH -H 'Content-Type: application/json' -d '{"frozen": true}'"""
    story = state.record("story")
    coming = story is not None and is_running(story)
    healing = f": {STORY_HOSTNAME} hangs in a moment, and is healed" if coming else ""
    return [
        Suggestion(f"Watch the VMs{healing}", f"{kubectl} get dvm --watch"),
        ask,
        Suggestion("Hang a VM yourself", f"curl -s {patch} {control}/control/guests/103"),
    ]


def _kubectl() -> str:
    """The user's own where there is one, else the one that was built."""
    if shutil.which("kubectl"):
        return "kubectl"
    return str(control_plane.find_kubectl() or "kubectl")


def short(path: Path) -> str:
    """Relative to the current folder where that is shorter."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _text(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
