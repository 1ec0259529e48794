"""`defib agent`: hold servers and agents to the protocol, and measure what our own agent costs.

Heavy modules are imported by the command itself: `--help` must be quick.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from defib_dev.agent_check.findings import Finding
    from defib_dev.agent_check.script import Spread

app = typer.Typer(help="Hold servers and agents to the protocol.", no_args_is_help=True)

Shell = Annotated[str, typer.Option(help="dash, bash, busybox or sh.")]


@app.command()
def check(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="The server to check.")] = None,
    *,
    key_file: Annotated[
        Path | None, typer.Option(help="A file with an agent's key for that server.")
    ] = None,
    vmid: Annotated[
        int | None, typer.Option(help="The VM to report for, where the key is a shared one.")
    ] = None,
    ca_file: Annotated[Path | None, typer.Option(help="An authority to trust, PEM.")] = None,
    listen: Annotated[
        bool, typer.Option("--listen", help="Check an agent: wait for its reports.")
    ] = False,
    port: Annotated[int, typer.Option(help="Where to listen; 0: any.", min=0, max=65535)] = 0,
    interval: Annotated[
        float, typer.Option(help="The agent's interval in seconds.", min=1, max=120)
    ] = 30,
    grace: Annotated[float, typer.Option(help="Seconds that the agent may be late.", min=0)] = 5,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out the refused key, which takes a minute.")
    ] = False,
) -> None:
    """Check a server at URL, or with --listen an agent, against agents/PROTOCOL.md.

    Exit 0: every rule is kept; 1: one is broken or was not seen.
    """
    if listen == (url is not None):
        _refuse("give the URL of a server, or --listen for an agent")
    if listen:
        _check_agent(port, interval, grace, quick=quick)
    else:
        assert url is not None
        _check_server(url, key_file, vmid, ca_file)


def _check_server(url: str, key_file: Path | None, vmid: int | None, ca_file: Path | None) -> None:
    import ssl  # noqa: PLC0415 - see the docstring

    import httpx  # noqa: PLC0415 - same

    from defib_api.agent_files import AgentFilesMissing  # noqa: PLC0415 - same
    from defib_dev.agent_check import fixtures, serving  # noqa: PLC0415 - same

    try:
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        requests = fixtures.requests({} if vmid is None else {"vmid": str(vmid)})
        with httpx.Client(base_url=url, verify=context, timeout=30) as http:
            _tell(list(serving.check(http, _read_key(key_file), requests)))
    except (OSError, ssl.SSLError, AgentFilesMissing) as error:
        _refuse(str(error))
    except serving.ServerAway as error:
        _refuse(f"cannot ask {url}: {error}")


def _check_agent(port: int, interval: float, grace: float, *, quick: bool) -> None:
    from defib_dev.agent_check import rules  # noqa: PLC0415 - see the docstring
    from defib_dev.agent_check.listening import listen as run  # noqa: PLC0415 - same

    expected = rules.Expected(interval, min(20.0, 2 * interval), grace, quick)

    def started(at: int) -> None:
        typer.echo(f"listening: start the agent with DEFIB_URL=http://127.0.0.1:{at}", err=True)
        typer.echo(f"and an interval of {interval:g} s; any key will do", err=True)

    patience = 60 * interval + (0 if quick else 120) + 300
    seen = asyncio.run(
        run(
            expected,
            port,
            say=lambda line: typer.echo(f"step: {line}", err=True),
            started=started,
            patience=patience,
        )
    )
    typer.echo(f"not judged: {rules.NOT_JUDGED}", err=True)
    _tell(rules.judge(seen, expected))


@app.command()
def cost(
    *,
    shell: Annotated[list[str] | None, typer.Option(help="May be repeated.")] = None,
    reports: Annotated[int, typer.Option(help="How many to send, a second apart.", min=1)] = 100,
) -> None:
    """Measure what a report of the Linux agent costs: CPU with all its children, and memory.

    For figures worth keeping let nothing else run meanwhile.
    """
    from defib_dev.agent_check.cost import measure  # noqa: PLC0415 - see the docstring
    from defib_dev.components.errors import ComponentError  # noqa: PLC0415 - same

    typer.echo("shell     CPU/report  of a core at 30 s  resting (own)    peak")
    for one in shell or ["dash", "bash", "busybox"]:
        try:
            found = asyncio.run(measure(one, reports))
        except ComponentError as error:
            _refuse(str(error))
        typer.echo(
            f"{one:8}  {found.cpu:7.1f} ms  {found.share(30):15.3f} %"
            f"  {found.resting:4.1f} ({found.resting_own:.1f}) MB  {found.peak:4.1f} MB"
        )


@app.command()
def figures(
    *,
    shell: Shell = "sh",
    seconds: Annotated[float, typer.Option(help="How long to measure.", min=1)] = 30,
    load: Annotated[int, typer.Option(help="Shells that spin meanwhile.", min=0, max=64)] = 0,
) -> None:
    """Show the Linux agent's figures beside psutil's, of this machine over the same seconds."""
    from defib_dev.agent_check.figures import compare  # noqa: PLC0415 - see the docstring
    from defib_dev.components.errors import ComponentError  # noqa: PLC0415 - same

    try:
        found = compare(seconds, load=load, shell=shell)
    except ComponentError as error:
        _refuse(str(error))
    typer.echo(f"{'':16}{'agent':>12}{'psutil':>12}{'difference':>12}")
    for one in found:
        name = f"{one.name} ({one.unit})"
        typer.echo(f"{name:20}{one.agent:>8.1f}{one.psutil:>12.1f}{one.difference:>+12.1f}")


@app.command()
def herd(
    *,
    agents: Annotated[int, typer.Option(help="How many VMs.", min=1, max=100_000)] = 1000,
    outage: Annotated[int, typer.Option(help="Seconds of the outage.", min=1)] = 600,
    interval: Annotated[int, typer.Option(help="Seconds.", min=1, max=120)] = 30,
    shell: Shell = "sh",
) -> None:
    """Show how agents spread that start at once, and how they come back after an outage.

    The agent's own functions, in virtual time: nothing is sent.
    """
    from defib_dev.agent_check import script  # noqa: PLC0415 - see the docstring
    from defib_dev.components.errors import ComponentError  # noqa: PLC0415 - same

    try:
        _tell_spread("started in one second", script.started_together(agents, interval, shell))
        back = script.after_outage(agents, outage, interval, shell)
        _tell_spread(f"after an outage of {outage} s", back)
    except ComponentError as error:
        _refuse(str(error))


def _tell_spread(what: str, spread: "Spread") -> None:
    mean = spread.agents / max(1, spread.last)
    typer.echo(
        f"{what}: {spread.agents} agents, the last after {spread.last} s;"
        f" at most {spread.busiest} in a second, {mean:.0f} on average"
    )
    peak = spread.busiest
    for second in range(spread.last + 1):
        count = spread.seconds[second]
        typer.echo(f"{second:4} s {count:6} {'#' * round(50 * count / peak)}")


def _tell(findings: "list[Finding]") -> None:
    from defib_dev.agent_check.findings import are_kept, lines  # noqa: PLC0415 - same

    for line in lines(findings):
        typer.echo(line)
    if not are_kept(findings):
        raise typer.Exit(1)


def _read_key(file: Path | None) -> str:
    if file is None:
        _refuse("name a file with an agent's key: --key-file; `defib token create` makes one")
    try:
        return file.read_text().strip()
    except OSError as error:
        _refuse(f"cannot read the key: {error}")


def _refuse(message: str) -> NoReturn:
    typer.echo(f"defib agent: {message}", err=True)
    raise typer.Exit(2)
