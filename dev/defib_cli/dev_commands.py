"""`defib dev ...`: the local stack. Parses and prints; the work is in `defib_dev`."""

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import defib_dev
from defib_cli.bench_command import bench
from defib_cli.chart_command import chart
from defib_cli.fleet_command import fleet
from defib_cli.proxmox_sim_command import proxmox_sim
from defib_cli.soak_command import soak
from defib_dev.components import control_plane as parts
from defib_dev.components import prometheus as prometheus_parts
from defib_dev.components.cache import Cancelled
from defib_dev.components.errors import ComponentError
from defib_dev.stack import describe, live_page
from defib_dev.stack import state as states
from defib_dev.stack.describe import ProcessView
from defib_dev.stack.down import down as bring_down
from defib_dev.stack.layout import StackFolder
from defib_dev.stack.progress import Board
from defib_dev.stack.story import Story
from defib_dev.stack.up import Wish
from defib_dev.stack.up import up as bring_up

app = typer.Typer(
    help="The local stack: all of Defib on this machine, on real parts.", add_completion=False
)

_CHECKOUT = Path(defib_dev.__file__).parents[2]
_DEFAULT_FOLDER = (_CHECKOUT if (_CHECKOUT / "pyproject.toml").exists() else Path.cwd()) / ".defib"

StateDir = Annotated[
    Path, typer.Option("--state-dir", help="The folder that holds the stack's data and secrets.")
]

_console = Console(stderr=True)


@app.command()
def up(
    state_dir: StateDir = _DEFAULT_FOLDER,
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Without demo VMs.")] = False,
    port_offset: Annotated[
        int | None,
        typer.Option(help="Added to every port, for stacks side by side.", show_default="0"),
    ] = None,
) -> None:
    """Start everything that is not running, and say what to try."""
    folder = StackFolder(state_dir.resolve())
    with _readable_errors("What is up stays up: see `defib dev status`."), Board(_console) as board:
        state = bring_up(Wish(folder, port_offset, demo=not no_demo), board)
    described = describe.view(folder, state)
    print(f"\nDashboard   {describe.dashboard(folder, state)}")
    print(f"API         {described['api']}")
    print(f"Kubeconfig  {described['kubeconfig']}")
    print(f"Proxmox     {described['proxmox']['url']} (simulated)\n")
    for number, suggestion in enumerate(describe.suggestions(folder, state), start=1):
        print(f"{number}. {suggestion.text}:\n   {suggestion.command}")
    print(f"\nWhat runs:  {_again('status', folder)}\nStop it:    {_again('down', folder)}")


@app.command()
def down(
    state_dir: StateDir = _DEFAULT_FOLDER,
    purge: Annotated[bool, typer.Option("--purge", help="Remove data and secrets too.")] = False,
) -> None:
    """Stop everything that `up` started; data is kept."""
    afterwards = "Some processes may still run: see `defib dev status`."
    with _readable_errors(afterwards), Board(_console) as board:
        ran = bring_down(StackFolder(state_dir.resolve()), board, purge=purge)
    print("Stopped." if ran else "Nothing was running.")


@app.command()
def status(
    state_dir: StateDir = _DEFAULT_FOLDER,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs. Prints secrets: tokens and passwords.")
    ] = False,
) -> None:
    """Say what runs and where; exit 1 when something is not running."""
    folder = StackFolder(state_dir.resolve())
    with _readable_errors():
        state = states.load(folder.state)
    if state is None:
        _console.print(f"No stack in {folder.root}. Start one: defib dev up", highlight=False)
        raise typer.Exit(1)
    if as_json:
        print(json.dumps(describe.view(folder, state), indent=2))
        return
    processes = describe.processes(state)
    _print_table(processes)
    if not processes or not all(process["running"] for process in processes):
        raise typer.Exit(1)


@app.command("control-plane")
def control_plane(
    helm: Annotated[bool, typer.Option("--helm", help="Helm as well.")] = False,
) -> None:
    """Find or build kube-apiserver, etcd and kubectl (and Helm); print where they are."""
    with _readable_errors(), Board(_console) as board:
        with board.step("kube-apiserver and etcd") as report:
            servers = parts.obtain(report)
        with board.step("kubectl") as report:
            found = [servers.kube_apiserver, servers.etcd, parts.obtain_kubectl(report)]
        if helm:
            with board.step("helm") as report:
                found.append(parts.obtain_helm(report))
    for program in found:
        print(program)


@app.command()
def prometheus() -> None:
    """Find or build Prometheus and promtool, which only tests need; print where they are."""
    with _readable_errors(), Board(_console) as board, board.step("Prometheus") as report:
        found = prometheus_parts.obtain(report)
    print(found.prometheus)
    print(found.promtool)


@app.command(hidden=True)
def story(
    *,
    api: Annotated[str, typer.Option()],
    token_file: Annotated[Path, typer.Option()],
    control: Annotated[str, typer.Option()],
    hostname: Annotated[str, typer.Option()],
    vmid: Annotated[int, typer.Option()],
    delay: Annotated[float, typer.Option(help="Seconds.")] = 40.0,
) -> None:
    """Hang one demo VM once it is seen healthy; `up` runs this in the background."""
    with _readable_errors():
        Story(api, token_file, control, hostname, vmid, delay).tell()


app.command("proxmox-sim")(proxmox_sim)
app.command("fleet")(fleet)
app.command("bench")(bench)
app.command("soak")(soak)
app.command("chart")(chart)


@app.command()
def page(state_dir: StateDir = _DEFAULT_FOLDER) -> None:
    """Serve the dashboard's sources, each change seen at once, on the API of `make up`."""
    with _readable_errors():
        live_page.serve(StackFolder(state_dir.resolve()), _console.print)


def _again(command: str, folder: StackFolder) -> str:
    """A command on the same stack, to be pasted: this very program, from the current folder."""
    called = Path(sys.argv[0])
    program = describe.short(called.resolve()) if called.name == "defib" else "defib"
    elsewhere = folder.root != _DEFAULT_FOLDER.resolve()
    where = ["--state-dir", str(folder.root)] if elsewhere else []
    return shlex.join([program, "dev", command, *where])


def _print_table(processes: list[ProcessView]) -> None:
    table = Table("Process", "Id", "State", "Log")
    for process in processes:
        running = "[green]running" if process["running"] else "[red]not running"
        table.add_row(process["name"], str(process["pid"]), running, process["log"])
    Console().print(table)


@contextmanager
def _readable_errors(afterwards: str = "") -> Iterator[None]:
    """An expected failure is a message and exit 1; a bug keeps its traceback."""
    try:
        yield
    except ComponentError as error:
        _console.print(f"\n{error}", style="red", highlight=False, markup=False, soft_wrap=True)
        if afterwards:
            _console.print(afterwards, highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1) from error
    except (Cancelled, KeyboardInterrupt) as error:
        _console.print(
            f"\nInterrupted. {afterwards}", highlight=False, markup=False, soft_wrap=True
        )
        raise typer.Exit(130) from error
