"""`defib token`: makes tokens. A token is printed once, alone, and kept nowhere."""

import asyncio
import os
from typing import Annotated

import typer

from defib_core.config.settings import DatabaseSettings
from defib_core.store import registry, tokens
from defib_core.store.engine import make_engine
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


async def _create(
    settings: DatabaseSettings, kind: TokenKind, name: str, cluster: str | None
) -> str:
    engine = make_engine(settings.database_url.get_secret_value(), application="defib-token")
    try:
        async with engine.begin() as connection:
            await registry.ensure_defaults(connection, settings.namespace)
            cluster_id = None
            if kind is TokenKind.AGENT:
                wanted = cluster or "default"
                cluster_id = await tokens.cluster_id_of(connection, settings.namespace, wanted)
            return await tokens.create(connection, kind, name, cluster_id=cluster_id)
    finally:
        await engine.dispose()
