"""`defib session`: which browsers are signed in, and signing them out."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from defib_cli.api_client import Where, connect
from defib_cli.person import Api, AsJson, CaFile, TokenFile, print_json, readable_errors

app = typer.Typer(help="See who is signed in, and sign people out.", no_args_is_help=True)


@app.command("list")
def list_sessions(
    *,
    name: Annotated[str | None, typer.Option(help="Only those of this person.")] = None,
    as_json: AsJson = False,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show the browsers that are signed in."""
    with readable_errors():
        found = connect(Where(api, token_file, ca_file)).get("/api/sessions", name=name)
    if as_json:
        print_json(found)
        return
    for one in found:
        typer.echo(_line(one))
    if not found:
        typer.echo("Nobody is signed in." if name is None else f"{name} is not signed in.")


@app.command()
def end(
    session_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Such as session_9.")
    ] = None,
    *,
    name: Annotated[str | None, typer.Option(help="All of this person, as when he leaves.")] = None,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Sign a browser out, or with --name a person everywhere."""
    if (session_id is None) == (name is None):
        raise typer.BadParameter("give either the ID of a session or --name")
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        one = "" if session_id is None else f"/{quote(session_id, safe='')}"
        answer = client.call("DELETE", f"/api/sessions{one}", query={"name": name})
    typer.echo(answer["message"])


def _line(one: dict[str, Any]) -> str:
    begun = "with OpenID" if one["token"] is None else f"with {one['token']}"
    return (
        f"{one['id']}  {one['name']}  {one['role']}  {begun}, {one['createdAt']}"
        f"  until {one['expiresAt']}"
    )
