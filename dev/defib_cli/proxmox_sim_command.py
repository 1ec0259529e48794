"""`defib dev proxmox-sim`: run the simulated Proxmox cluster until told to stop."""

import asyncio
import json
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from defib_dev.proxmox_sim.inventory import load_inventory
from defib_dev.proxmox_sim.model import Datacenter, ModelError
from defib_dev.proxmox_sim.simulator import Certificate, Ports, Simulator, full_rights


def proxmox_sim(
    *,
    cert: Annotated[Path, typer.Option(help="The API's certificate (PEM).", dir_okay=False)],
    key: Annotated[Path, typer.Option(help="The certificate's key (PEM).", dir_okay=False)],
    token_secret_file: Annotated[
        Path, typer.Option(help="A file that holds the API token's secret.", dir_okay=False)
    ],
    token_id: Annotated[
        str, typer.Option(help="The API token, user@realm!name.")
    ] = "defib@pve!operator",  # noqa: S107 - a name, not a secret
    host: Annotated[str, typer.Option(help="The address of the Proxmox API.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port of the Proxmox API; 0: a free one.")] = 8006,
    control_port: Annotated[
        int, typer.Option(help="The control interface's port on 127.0.0.1; 0: a free one.")
    ] = 8007,
    inventory: Annotated[
        Path | None, typer.Option(help="Nodes and guests (YAML). Default: three empty nodes.")
    ] = None,
) -> None:
    """Run a simulated Proxmox cluster: its API over HTTPS, and a control interface."""
    try:
        certificate = Certificate(cert=cert, key=key)
        dc = load_inventory(inventory, datetime.now(UTC))
        full_rights(dc, token_id, token_secret_file.read_text().strip())
        ports = Ports(host=host, api=port, control=control_port)
        asyncio.run(_serve(dc, ports, certificate))
    except (ModelError, OSError) as error:
        typer.echo(f"proxmox-sim cannot run: {error}", err=True)
        raise typer.Exit(1) from error


async def _serve(dc: Datacenter, ports: Ports, certificate: Certificate) -> None:
    """Print one line of JSON when both ports listen; end on SIGINT or SIGTERM."""
    told_to_stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told_to_stop.set)
    simulator = Simulator(dc)
    await simulator.start(ports, certificate)
    print(json.dumps({"proxmox": simulator.api_url, "control": simulator.control_url}), flush=True)
    await told_to_stop.wait()
    await simulator.close()
