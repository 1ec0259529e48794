"""`defib notify`: run the worker that tells people, try it, and see what did not arrive."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import typer

from defib_core.config.settings import DatabaseSettings, NotifySettings
from defib_core.domain.notices import Severity
from defib_core.store import notices
from defib_core.store.engine import Connection, in_one_transaction
from defib_core.store.notices import Delivery

app = typer.Typer(help="Tell people: mail, chats, pagers, webhooks.", no_args_is_help=True)

T = TypeVar("T")
NEEDS_EXTRA = "`defib notify run` needs {name}: pip install 'defib[notify]'"
LISTED_MOST = 200


@app.command()
def run() -> None:
    """Run the worker; DEFIB_NOTIFY_CONFIG names its file, see docs/notifications.md."""
    try:
        from defib_notify.main import run as run_worker  # noqa: PLC0415 - only this needs the extra
    except ModuleNotFoundError as error:
        _fail_without_extra(error)
        raise
    run_worker(NotifySettings.from_environment(os.environ))


@app.command()
def test(
    destination: Annotated[str, typer.Argument(help="Its name in the file.")],
) -> None:
    """Send a test message to one destination, now, and say what came of it."""
    try:
        from defib_notify.configuration import read  # noqa: PLC0415 - same
        from defib_notify.sending import send  # noqa: PLC0415 - same
        from defib_notify.trust import trust_of  # noqa: PLC0415 - same
        from defib_notify.undelivered import Undelivered  # noqa: PLC0415 - same
    except ModuleNotFoundError as error:
        _fail_without_extra(error)
        raise
    config = read(NotifySettings.from_environment(os.environ).notify_config)
    found = next((one for one in config.destinations if one.name == destination), None)
    if found is None:
        typer.echo(f"defib notify test: there is no destination named {destination}", err=True)
        raise typer.Exit(1)
    try:
        message = _test_message(destination)
        asyncio.run(send(found, message, config.allowed_networks, trust_of(config)))
    except Undelivered as error:
        typer.echo(f"defib notify test: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo("It arrived.")


@app.command("list")
def list_them(
    everything: Annotated[bool, typer.Option("--all", help="What has arrived too.")] = False,
) -> None:
    """Show messages that wait, or never arrived, newest first."""

    async def work(connection: Connection) -> list[str]:
        found = await notices.listed(connection, LISTED_MOST, unsent=not everything)
        return [_line(one) for one in found]

    for line in _with_database(work):
        typer.echo(line)


@app.command()
def retry(
    delivery: Annotated[int, typer.Argument(help="The number that `list` shows.")],
) -> None:
    """Send a dead letter again."""
    if not _with_database(lambda connection: notices.revive(connection, delivery)):
        typer.echo(f"defib notify retry: there is no dead letter {delivery}", err=True)
        raise typer.Exit(1)
    typer.echo(f"{delivery} is sent again.")


def _line(one: Delivery) -> str:
    if one.delivered_at is not None:
        state = f"delivered {one.delivered_at:%Y-%m-%dT%H:%M:%SZ}"
    elif one.dead_at is not None:
        state = f"dead {one.dead_at:%Y-%m-%dT%H:%M:%SZ}: {one.error}"
    else:
        why = f": {one.error}" if one.error else ""
        state = f"waits until {one.next_at:%Y-%m-%dT%H:%M:%SZ}{why}"
    return (
        f"{one.id}  {one.destination}  {one.severity.value}  {one.group_key}"
        f"  {len(one.notices)} notices  {one.attempts} attempts  {state}"
    )


def _test_message(destination: str) -> Delivery:
    now = datetime.now(UTC)
    told = {
        "kind": "VmRecovered",
        "severity": "info",
        "at": now.isoformat(),
        "vm": None,
        "scope": "a test",
        "detail": "sent by `defib notify test`; nothing has happened",
    }
    return Delivery(
        id=0,
        destination=destination,
        group_key="a test",
        severity=Severity.INFO,
        notices=[told],
        created_at=now,
        next_at=now,
        attempts=1,
        delivered_at=None,
        dead_at=None,
        error=None,
    )


def _with_database(work: Callable[[Connection], Awaitable[T]]) -> T:
    settings = DatabaseSettings.from_environment(os.environ)
    url = settings.database_url.get_secret_value()
    return asyncio.run(in_one_transaction(url, work, application="defib-notify"))


def _fail_without_extra(error: ModuleNotFoundError) -> None:
    if (error.name or "").startswith("defib"):
        raise error
    typer.echo(NEEDS_EXTRA.format(name=error.name), err=True)
    raise typer.Exit(2) from error


if __name__ == "__main__":
    app()
