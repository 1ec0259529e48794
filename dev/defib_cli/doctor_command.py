"""`defib doctor`: asks every part that Defib needs, and says what to do about what is ill.

Runs where a process of Defib runs, with its settings. A part whose library is not in this image, or
whose address is not set, is named as not looked at.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import typer

from defib_cli.doctor.finding import Finding, Level, Part, lines_of
from defib_cli.person import AsJson, print_json
from defib_core.config.logs import configure_logging
from defib_core.config.settings import (
    ClientSettings,
    LogFormat,
    OperatorSettings,
    SettingsError,
)

PATIENCE = timedelta(seconds=60)
"""Each part bounds its own calls; past this it is given up."""

Look = Callable[[], Awaitable[list[Finding]]]


def doctor(*, as_json: AsJson = False) -> None:
    """Look at everything Defib needs; exit 1 where something fails."""
    configure_logging("error", LogFormat.CONSOLE)  # on standard error: the findings tell the rest
    findings = asyncio.run(examine(os.environ))
    if as_json:
        print_json([one.as_json() for one in findings])
    else:
        for line in lines_of(findings):
            typer.echo(line)
    raise typer.Exit(any(one.level is Level.FAIL for one in findings))


async def examine(environment: Mapping[str, str]) -> list[Finding]:
    """Look at every part, and return what was found in their order."""
    client = _client(environment)
    if isinstance(client, Finding):
        return [client]
    try:
        settings = OperatorSettings.from_environment(environment)
    except SettingsError as error:
        wrong = Part("settings").fail("environment", str(error), "see docs/configuration.md")
        return [wrong, *await _api(client)]
    parts = {
        "postgresql": lambda: _database(settings),
        "redis": lambda: _redis(settings),
        "kubernetes": lambda: _kubernetes(settings),
        "api": lambda: _api(client),
    }
    # One after the other: loading one part's libraries must not run out another's patience.
    return [one for name, look in parts.items() for one in await _bounded(name, look)]


def _client(environment: Mapping[str, str]) -> ClientSettings | Finding:
    try:
        return ClientSettings.from_environment(environment)
    except SettingsError as error:
        return Part("settings").fail("environment", str(error), "see docs/configuration.md")


async def _bounded(name: str, look: Look) -> list[Finding]:
    """A part that hangs, or whose library is not here, is a finding."""
    part = Part(name)
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            return await look()
    except TimeoutError:
        return [part.fail("looked at", "it did not answer in time", "is a firewall in between?")]
    except ModuleNotFoundError as error:
        advice = f"run `defib doctor` where {error.name} is installed, such as in the other pod"
        return [part.warn("looked at", f"not from here: {error.name} is not installed", advice)]


async def _database(settings: OperatorSettings) -> list[Finding]:
    from defib_cli.doctor import database  # noqa: PLC0415 - each part in its own time

    return await database.examine(settings.database_url.get_secret_value(), settings.namespace)


async def _redis(settings: OperatorSettings) -> list[Finding]:
    from defib_cli.doctor import read_cache  # noqa: PLC0415 - needs the extra `api`

    url = settings.redis_url
    return await read_cache.examine_redis(None if url is None else url.get_secret_value())


async def _kubernetes(settings: OperatorSettings) -> list[Finding]:
    from defib_cli.doctor import kubernetes  # noqa: PLC0415 - needs the extra `operator`

    return await kubernetes.examine(settings)


async def _api(client: ClientSettings) -> list[Finding]:
    from defib_cli.doctor import serving  # noqa: PLC0415 - as above

    return await serving.examine_api(client.api_url, client.api_ca_file)
