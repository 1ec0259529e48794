"""`defib token`: makes tokens, and changes those of agents.

A token is printed once, alone, and kept nowhere. `create` writes to the database itself, as it
makes the very first token; the others ask the API.
"""

import asyncio
import os
from typing import Annotated, Any

import typer

from defib_cli.api_client import Where, connect
from defib_cli.person import Api, AsJson, CaFile, TokenFile, print_json, readable_errors
from defib_core.config.settings import DatabaseSettings
from defib_core.store import registry, tokens
from defib_core.store.engine import Connection, in_one_transaction
from defib_core.store.tokens import TokenKind, UnknownCluster

app = typer.Typer(help="Make tokens for agents and people.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Hold the commands together."""


@app.command()
def create(
    kind: Annotated[TokenKind, typer.Option(help="agent: reports; admin: reads and resets.")],
    name: Annotated[str, typer.Option(help="What you will know it by.")],
    cluster: Annotated[
        str | None, typer.Option(help="For agents: the ProxmoxCluster whose VMs it reports for.")
    ] = None,
) -> None:
    """Make a token and print it; it cannot be shown again."""
    settings = DatabaseSettings.from_environment(os.environ)
    if kind is TokenKind.ADMIN and cluster is not None:
        raise typer.BadParameter("an admin token is not bound to a cluster", param_hint="--cluster")
    try:
        token = asyncio.run(_create(settings, kind, name, cluster))
    except UnknownCluster as error:
        raise typer.BadParameter(f"{error}; apply it first", param_hint="--cluster") from error
    typer.echo(token)


TheToken = Annotated[str, typer.Argument(metavar="ID", help="Such as agent_token_7.")]
MOST_AT_ONCE = 1000


@app.command("list")
def list_tokens(
    *,
    as_json: AsJson = False,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Show the agents' tokens in force."""
    found: list[dict[str, Any]] = []
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        more = client.get("/api/agent-tokens", limit=MOST_AT_ONCE)
        while more:
            found += more
            own = [one for one in more if one["kind"] == "vm"]
            after = own[-1]["id"] if len(own) == MOST_AT_ONCE else None
            asked = after and client.get("/api/agent-tokens", limit=MOST_AT_ONCE, after=after)
            more = asked or []
    if as_json:
        print_json(found)
        return
    for one in found:
        typer.echo(_line(one))
    if not found:
        typer.echo("No agent's token is in force.")


@app.command()
def rotate(
    token_id: TheToken,
    *,
    grace: Annotated[
        int, typer.Option(metavar="SECONDS", help="How long the one before goes on.", min=0)
    ] = 3600,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """Make a VM's next token and print it; it cannot be shown again."""
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        path = f"/api/agent-tokens/{token_id}/rotate"
        answer = client.call("POST", path, {"graceSeconds": grace})
    typer.echo(answer["message"], err=True)
    typer.echo(answer["token"])


@app.command()
def revoke(
    token_id: TheToken,
    *,
    api: Api = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
) -> None:
    """End an agent's token now."""
    with readable_errors():
        client = connect(Where(api, token_file, ca_file))
        answer = client.call("DELETE", f"/api/agent-tokens/{token_id}")
    typer.echo(answer["message"])


def _line(one: dict[str, Any]) -> str:
    if one["kind"] == "shared":
        return f"{one['id']}  {one['name']}  every VM of {one['cluster']}"
    whose = (
        f"VM {one['vmid']}" if one["vmid"] else f"SMBIOS UUID {one['smbiosUuid']}, not found yet"
    )
    heard = one["lastHeartbeat"] or "never"
    end = f"  until {one['expiresAt']}" if one["expiresAt"] else ""
    return f"{one['id']}  {one['hostname']}  {one['cluster']}  {whose}  last report {heard}{end}"


async def _create(
    settings: DatabaseSettings, kind: TokenKind, name: str, cluster: str | None
) -> str:
    async def work(connection: Connection) -> str:
        await registry.ensure_defaults(connection, settings.namespace)
        cluster_id = None
        if kind is TokenKind.AGENT:
            wanted = cluster or "default"
            cluster_id = await tokens.cluster_id_of(connection, settings.namespace, wanted)
        return await tokens.create(connection, kind, name, cluster_id=cluster_id)

    url = settings.database_url.get_secret_value()
    return await in_one_transaction(url, work, application="defib-token")
