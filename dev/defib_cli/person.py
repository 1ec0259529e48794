"""What the commands of people share: options, finding a VM, spans of time, readable errors."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from defib_cli.api_client import ApiClient, ApiProblem

Api = Annotated[
    str | None,
    typer.Option(
        "--api",
        help="The API's address, such as https://defib.example.com.",
        show_default="DEFIB_API_URL",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help="A file that holds your token.",
        dir_okay=False,
        show_default="DEFIB_TOKEN_FILE",
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        help="The authority of the API's certificate, as PEM.",
        dir_okay=False,
        show_default="DEFIB_API_CA_FILE, else the system's",
    ),
]
TheVm = Annotated[
    str, typer.Argument(metavar="VM", help="Its host name, object's name, VMID, or id (vm_123).")
]
Why = Annotated[str, typer.Option("--reason", help="Who does what; kept in the audit log.")]
WhyEnd = Annotated[str | None, typer.Option("--reason", help="Why; kept in the audit log.")]
Lasting = Annotated[
    str | None, typer.Option("--for", metavar="SPAN", help="How long: 30m, 2h, 1d, 1h30m.")
]
Until = Annotated[
    str | None, typer.Option(metavar="TIME", help="Until when: 2030-01-31T06:00:00Z.")
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

SPAN = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?")
SHOWN_MOST = 10


@contextmanager
def readable_errors() -> Iterator[None]:
    """An expected failure is one line and exit 1; a bug keeps its traceback."""
    try:
        yield
    except ApiProblem as error:
        typer.secho(f"defib: {error}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from error


def find_vm(client: ApiClient, text: str) -> dict[str, Any]:
    """Find the one VM that is meant; raise ApiProblem for none, and for several."""
    vms: list[dict[str, Any]] = client.get("/api/vms")
    by_id = [vm for vm in vms if vm["id"] == text]
    found = by_id or [vm for vm in vms if _is_called(vm, text)]
    if not found:
        raise ApiProblem(
            f"there is no VM {text!r}: give its host name, the name of its VirtualMachine, its"
            " VMID, or its id"
        )
    if len(found) > 1:
        raise ApiProblem(f"{text!r} may be any of these, so give an id: {_named(found)}")
    return found[0]


def _is_called(vm: dict[str, Any], text: str) -> bool:
    return text.lower() == vm["hostname"].lower() or text in (vm["name"], vm["vmid"])


def _named(vms: list[dict[str, Any]]) -> str:
    names = [f"{vm['id']} ({vm['hostname']}, VMID {vm['vmid']}, {vm['cluster']})" for vm in vms]
    more = len(names) - SHOWN_MOST
    return ", ".join(names[:SHOWN_MOST]) + (f" and {more} more" if more > 0 else "")


def end_of(lasting: str | None, until: str | None) -> dict[str, Any]:
    """The end of a pause or window as the API takes it; empty where there is none."""
    if lasting is not None and until is not None:
        raise typer.BadParameter("give --for or --until, not both")
    if lasting is not None:
        return {"minutes": minutes_of(lasting)}
    return {} if until is None else {"until": until}


def minutes_of(span: str) -> int:
    """Read a span such as 1h30m."""
    match = SPAN.fullmatch(span)
    days, hours, minutes = (int(part or 0) for part in match.groups()) if match else (0, 0, 0)
    total = (days * 24 + hours) * 60 + minutes
    if total <= 0:
        raise typer.BadParameter(f"{span!r} is no span of minutes: 30m, 2h, 1d, 1h30m")
    return total


def print_json(value: object) -> None:
    """Print for programs."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
