"""`defib relay serve` and `defib api serve` as processes of their own, which may be killed."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from defib_core.store import registry, relays, tokens
from defib_core.store.engine import make_engine
from support.running_api import NAMESPACE
from support.waiting import eventually_async

LOOPBACK = "127.0.0.1"


async def new_relay(database_url: str, name: str = "site-a") -> str:
    """Make a relay for the default cluster; return its token."""
    engine = make_engine(database_url, application="tests")
    try:
        async with engine.begin() as connection:
            await registry.ensure_defaults(connection, NAMESPACE)
            cluster_id = await tokens.cluster_id_of(connection, NAMESPACE, "default")
            return await relays.create(connection, name, cluster_id)
    finally:
        await engine.dispose()


def relay_settings(api_port: int, token: str, folder: Path, port: int) -> dict[str, str]:
    """The environment of a relay on loopback."""
    return {
        "DEFIB_API_URL": f"http://{LOOPBACK}:{api_port}",
        "DEFIB_RELAY_TOKEN": token,
        "DEFIB_RELAY_FOLDER": str(folder),
        "DEFIB_RELAY_HOST": LOOPBACK,
        "DEFIB_RELAY_PORT": str(port),
        "DEFIB_REPORT_LIMIT_PER_MINUTE": "0",
    }


def api_settings(database_url: str, port: int) -> dict[str, str]:
    """The environment of an API on loopback that limits no VM."""
    return {
        "DEFIB_DATABASE_URL": database_url,
        "DEFIB_API_HOST": LOOPBACK,
        "DEFIB_API_PORT": str(port),
        "DEFIB_REPORT_LIMIT_PER_MINUTE": "0",
    }


@contextmanager
def serving(
    group: str, settings: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """`defib GROUP serve`, killed at the end if it still runs."""
    rest = {name: value for name, value in os.environ.items() if not name.startswith("DEFIB_")}
    command = [sys.executable, "-m", f"defib_cli.{group}_commands", "serve"]
    with (
        log.open("ab") as output,
        subprocess.Popen(command, env={**rest, **settings}, stdout=output, stderr=output) as child,
    ):
        try:
            yield child
        finally:
            child.kill()


async def until_ready(http: httpx.AsyncClient, log: Path) -> None:
    """Wait until the process behind the client answers /readyz with 200."""

    async def is_ready() -> bool:
        try:
            return (await http.get("/readyz")).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    await eventually_async(is_ready, what=f"it is ready; its log: {log}", deadline_seconds=60)
