"""`defib enrolment`: tokens that machines exchange for a token of their own."""

from typing import Annotated, Any

import typer

from defib_cli.api_client import Where, connect
from defib_cli.person import Api, AsJson, CaFile, TokenFile, minutes_of, print_json, readable_errors

app = typer.Typer(help="Let machines in: each gets a token of its own.", no_args_is_help=True)


@app.command()
def create(
    *,
    name: Annotated[str, typer.Option(help="What you will know it by.")],
    cluster: Annotated[str, typer.Option(help="The ProxmoxCluster of the VMs.")] = "default",
    uses: Annotated[int, typer.Option(help="How many machines it lets in.", min=1)] = 1,
    lasting: Annotated[
        str, typer.Option("--for", metavar="SPAN", help="How long it is good: 30m, 2h, 1d.")
    ] = "1h",
    vmids: Annotated[
        str | None, typer.Option(metavar="FROM-TO", help="Only these VMs, such as 100-199.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Only VMs that carry it; may be repeated."),
    ] = None,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Make a token and print it; it cannot be shown again."""
    body: dict[str, Any] = {
        "name": name,
        "cluster": cluster,
        "uses": uses,
        "minutes": minutes_of(lasting),
        "matchLabels": dict(_label(one) for one in label or ()),
        **_range(vmids),
    }
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        answer = client.call("POST", "/api/enrolment-tokens", body)
    typer.echo(answer["message"], err=True)
    typer.echo(answer["token"])


@app.command("list")
def list_tokens(
    *,
    as_json: AsJson = False,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show those that are in force."""
    with readable_errors():
        found = connect(Where(api, token_file, ca_file)).get("/api/enrolment-tokens")
    if as_json:
        print_json(found)
        return
    for one in found:
        typer.echo(_line(one))
    if not found:
        typer.echo("No enrolment token is in force.")


@app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="Such as enrolment_9.")],
    *,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """End one now; the machines it let in go on."""
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        answer = client.call("DELETE", f"/api/enrolment-tokens/{token_id}")
    typer.echo(answer["message"])


def _range(text: str | None) -> dict[str, int]:
    if text is None:
        return {}
    first, dash, last = text.partition("-")
    if not dash or not first.isdecimal() or not last.isdecimal():
        raise typer.BadParameter(f"{text!r} is no range: 100-199", param_hint="--vmids")
    return {"vmidFrom": int(first), "vmidTo": int(last)}


def _label(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise typer.BadParameter(f"{text!r} is no label: KEY=VALUE", param_hint="--label")
    return key, value


def _line(one: dict[str, Any]) -> str:
    reach = "" if one["vmidFrom"] is None else f"  VMs {one['vmidFrom']}-{one['vmidTo']}"
    labels = "".join(f"  {key}={value}" for key, value in one["matchLabels"].items())
    return (
        f"{one['id']}  {one['name']}  {one['cluster']}{reach}{labels}  used {one['uses']} of"
        f" {one['usesMost']}  until {one['expiresAt']}  by {one['createdBy']}"
    )
