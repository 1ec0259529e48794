"""`defib agent`: hold servers and agents to the protocol, and measure what our own agent costs.

Heavy modules are imported by the command itself: `--help` must be quick.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from defib_cli import agent_measures

if TYPE_CHECKING:
    from defib_dev.agent_check.findings import Finding

app = typer.Typer(help="Hold servers and agents to the protocol.", no_args_is_help=True)


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


for _measure in (agent_measures.cost, agent_measures.figures, agent_measures.herd):
    app.command()(_measure)


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
