"""`defib relay`: run a relay, and make, list and revoke the tokens of relays."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from defib_core.config.settings import DatabaseSettings, RelaySettings, SettingsError
from defib_core.store import registry, relays, tokens
from defib_core.store.engine import Connection, in_one_transaction
from defib_core.store.relays import Listed, RelayExists
from defib_core.store.tokens import UnknownCluster

app = typer.Typer(help="Take reports on a site and forward them to the API.", no_args_is_help=True)

T = TypeVar("T")
NEEDS_EXTRA = "`defib relay serve` needs {name}: pip install 'defib[relay]'"

Name = Annotated[str, typer.Argument(help="The relay's name, such as that of its site.")]


@app.command()
def serve() -> None:
    """Run the relay; it is configured by DEFIB_* variables, see docs/relay.md."""
    try:
        from defib_relay.main import serve as run  # noqa: PLC0415 - only this needs the extra
        from defib_relay.spool import SpoolInUse  # noqa: PLC0415 - same
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("defib"):
            raise
        typer.echo(NEEDS_EXTRA.format(name=error.name), err=True)
        raise typer.Exit(2) from error
    try:
        run(RelaySettings.from_environment(os.environ))
    except (SettingsError, SpoolInUse) as error:
        typer.echo(f"defib relay serve: {error}", err=True)
        raise typer.Exit(2) from error


@app.command()
def create(
    name: Name,
    cluster: Annotated[
        str, typer.Option(help="The ProxmoxCluster whose agents report through it.")
    ] = "default",
) -> None:
    """Make a relay; its token is shown this once."""
    settings = DatabaseSettings.from_environment(os.environ)

    async def work(connection: Connection) -> str:
        await registry.ensure_defaults(connection, settings.namespace)
        cluster_id = await tokens.cluster_id_of(connection, settings.namespace, cluster)
        return await relays.create(connection, name, cluster_id)

    try:
        typer.echo(_with_database(settings, work))
    except (RelayExists, UnknownCluster) as error:
        typer.echo(f"defib relay create: {error}", err=True)
        raise typer.Exit(1) from error


@app.command("list")
def list_them() -> None:
    """Show all relays: when each proved itself, what waits on its disk, what it lost."""
    settings = DatabaseSettings.from_environment(os.environ)
    for one in _with_database(settings, relays.listed):
        typer.echo(_line(one))


@app.command()
def revoke(name: Name) -> None:
    """Refuse a relay from now on. The VMs behind it are waited for one more full timeout."""
    settings = DatabaseSettings.from_environment(os.environ)
    if not _with_database(settings, lambda connection: relays.revoke(connection, name)):
        typer.echo(f"defib relay revoke: there is no relay named {name}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{name} is revoked.")


def _line(one: Listed) -> str:
    if one.revoked_at is not None:
        return f"{one.name}  {one.cluster}  revoked {one.revoked_at:%Y-%m-%dT%H:%M:%SZ}"
    heard = "never" if one.proved_at is None else f"{(one.now - one.proved_at).seconds} s ago"
    return (
        f"{one.name}  {one.cluster}  heard {heard}  waiting {one.waiting}  lost {one.lost}"
        f"  version {one.version or '-'}"
    )


def _with_database(settings: DatabaseSettings, work: Callable[[Connection], Awaitable[T]]) -> T:
    url = settings.database_url.get_secret_value()
    return asyncio.run(in_one_transaction(url, work, application="defib-relay"))


if __name__ == "__main__":
    app()
