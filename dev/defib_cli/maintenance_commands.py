"""`defib maintenance`: windows in which VMs with certain labels are not reset."""

from typing import Annotated, Any

import typer

from defib_cli.api_client import ApiClient, ApiProblem, Where, connect
from defib_cli.person import (
    Api,
    AsJson,
    CaFile,
    Lasting,
    TokenFile,
    Until,
    Why,
    WhyEnd,
    end_of,
    print_json,
    readable_errors,
)

app = typer.Typer(help="Plan work: VMs with certain labels are not reset.", no_args_is_help=True)


@app.command()
def add(
    *,
    reason: Why,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="VMs must carry it; may be repeated, all count."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every VM, in place of labels.")
    ] = False,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Begins then; left out: now.")
    ] = None,
    lasting: Lasting = None,
    until: Until = None,
    name: Annotated[
        str | None, typer.Option(help="Its name; that of an open window changes it.")
    ] = None,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Open a window, now or later."""
    if bool(label) == everything:
        raise typer.BadParameter("say for which VMs: --label KEY=VALUE, or --all")
    if lasting is None and until is None:
        raise typer.BadParameter("say how long: --for 2h, or --until TIME")
    body = {
        "reason": reason,
        "matchLabels": dict(_label(one) for one in label or ()),
        "from": start,
        "name": name,
        **end_of(lasting, until),
    }
    given = {key: value for key, value in body.items() if value is not None}
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        answer = client.call("POST", "/api/maintenance", given)
    typer.echo(answer["message"])
    typer.echo(f"End it sooner with: defib maintenance end {answer['name']}")


@app.command("list")
def list_windows(
    *,
    as_json: AsJson = False,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show the windows that are open or to come."""
    with readable_errors():
        windows = connect(Where(api, token_file, ca_file)).get("/api/maintenance")
    if as_json:
        print_json(windows)
        return
    for window in windows:
        typer.echo(_line(window))
    if not windows:
        typer.echo("No window is open or to come.")


@app.command()
def end(
    window: Annotated[str, typer.Argument(metavar="WINDOW", help="Its name or id.")],
    *,
    reason: WhyEnd = None,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """End a window now."""
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        path = f"/api/maintenance/{_find(client, window)}"
        answer = client.call("DELETE", path, query={"reason": reason})
    typer.echo(answer["message"])


def _find(client: ApiClient, text: str) -> str:
    windows: list[dict[str, Any]] = client.get("/api/maintenance")
    found = [one for one in windows if text in (one["id"], one["name"])]
    if not found:
        raise ApiProblem(f"no window {text!r} is open or to come; see defib maintenance list")
    if len(found) > 1:
        ids = ", ".join(f"{one['id']} ({one['systemConfig'] or 'by hand'})" for one in found)
        raise ApiProblem(f"several windows are called {text!r}, so give an id: {ids}")
    return str(found[0]["id"])


def _label(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise typer.BadParameter(f"{text!r} is no label: KEY=VALUE", param_hint="--label")
    return key, value


def _line(window: dict[str, Any]) -> str:
    labels = ",".join(f"{key}={value}" for key, value in window["matchLabels"].items())
    state = "active" if window["active"] else "to come"
    source = window["systemConfig"] or window["createdBy"]
    return (
        f"{window['id']}  {window['name']}  {state}  {window['from']} to {window['until']}"
        f"  {labels or 'every VM'} ({window['vms']} VMs)  {source}: {window['reason']}"
    )
