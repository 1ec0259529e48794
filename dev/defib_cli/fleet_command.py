"""`defib dev fleet`: run the agents of the simulated guests until told to stop.

Heavy modules are imported by the command itself: `--help` must be quick.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

LOG_FORMAT = "DEFIB_LOG_FORMAT"


def fleet(
    *,
    api: Annotated[str, typer.Option(help="Defib's API, such as http://127.0.0.1:3000.")],
    key_file: Annotated[
        Path, typer.Option(help="A file that holds the agents' key.", dir_okay=False)
    ],
    control: Annotated[str, typer.Option(help="The Proxmox simulator's control interface.")],
    interval: Annotated[
        float, typer.Option(help="Seconds between two reports of a guest.", min=0.1)
    ] = 30.0,
    jitter: Annotated[
        float, typer.Option(help="Seconds by which a report may come later.", min=0.0)
    ] = 0.0,
    cpu: Annotated[
        list[str] | None,
        typer.Option(help="VMID=PERCENT: this guest's CPU stays there. May be repeated."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same figures.")] = 1,
    most_at_once: Annotated[
        int, typer.Option(help="Reports under way at the same time.", min=1, max=2000)
    ] = 64,
) -> None:
    """Send heartbeats for every guest that the Proxmox simulator says is reporting."""
    from defib_core.config.logs import configure_logging  # noqa: PLC0415 - see the docstring
    from defib_core.config.settings import LogFormat  # noqa: PLC0415 - same
    from defib_dev.fleet_sim.fleet import Rhythm  # noqa: PLC0415 - same
    from defib_dev.fleet_sim.program import FleetSettings, run_fleet  # noqa: PLC0415 - same

    try:
        log_format = LogFormat(os.environ.get(LOG_FORMAT, LogFormat.CONSOLE))
        settings = FleetSettings(
            api=api.rstrip("/"),
            control=control.rstrip("/"),
            key=_read_key(key_file),
            rhythm=Rhythm(interval, jitter, seed),
            scripted_cpu=dict(_vmid_and_percent(one) for one in cpu or ()),
            most_at_once=most_at_once,
        )
    except (OSError, ValueError) as error:
        typer.echo(f"the fleet simulator cannot run: {error}", err=True)
        raise typer.Exit(1) from error
    configure_logging("info", log_format)
    asyncio.run(_until_told(lambda stop: run_fleet(settings, stop)))


async def _until_told(run: Callable[[asyncio.Event], Awaitable[object]]) -> None:
    """End on SIGINT or SIGTERM."""
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop.set)
    await run(told_to_stop)


def _read_key(file: Path) -> str:
    key = file.read_text().strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ValueError(f"{file} does not hold a key; `defib token create` makes one")
    return key


def _vmid_and_percent(text: str) -> tuple[int, float]:
    vmid, _, percent = text.partition("=")
    try:
        found = int(vmid), float(percent)
    except ValueError as error:
        raise ValueError(f"--cpu {text}: must be VMID=PERCENT, such as 107=95") from error
    if not 0 <= found[1] <= 100:  # noqa: PLR2004 - percent
        raise ValueError(f"--cpu {text}: the percentage must be 0 to 100")
    return found
