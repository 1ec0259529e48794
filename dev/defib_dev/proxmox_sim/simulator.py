"""The simulated cluster at work: its API over HTTPS and its control interface, on a real clock."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web

from defib_dev.proxmox_sim.access import ALL_PRIVILEGES, Token
from defib_dev.proxmox_sim.control import Control
from defib_dev.proxmox_sim.http_face import HttpFace
from defib_dev.proxmox_sim.machine import SimulatedMachine
from defib_dev.proxmox_sim.model import Datacenter


def wall_clock() -> datetime:
    """Read the time."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Where to listen; 0 takes a free port. The control interface is always on loopback."""

    host: str = "127.0.0.1"
    api: int = 0
    control: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The API's certificate, as PEM files."""

    cert: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Load it."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert, self.key)
        return context


@dataclass(slots=True)
class Simulator:
    """One cluster behind one address. `await start(...)`, later `await close()`."""

    dc: Datacenter
    clock: Callable[[], datetime] = wall_clock
    unauthorized_delay: timedelta = timedelta(seconds=3)
    _face: HttpFace = field(init=False)
    _control: web.AppRunner = field(init=False)
    _control_port: int = field(init=False, default=0)
    _host: str = field(init=False, default="")

    async def start(self, ports: Ports, certificate: Certificate) -> None:
        """Listen on both ports. Raises OSError where one is taken."""
        self._host = ports.host
        self._face = HttpFace(self.dc, self.clock, unauthorized_delay=self.unauthorized_delay)
        await self._face.start(ports.host, ports.api, certificate.context())
        control = Control(self.dc, self.clock, self._face.follow_mode)
        self._control = web.AppRunner(control.app(), access_log=None)
        await self._control.setup()
        site = web.TCPSite(self._control, "127.0.0.1", ports.control)
        await site.start()
        self._control_port = int(self._control.addresses[0][1])

    async def close(self) -> None:
        """Stop listening, and end the real machines."""
        await self._control.cleanup()
        await self._face.close()
        for guest in self.dc.guests.values():
            if not isinstance(guest.machine, SimulatedMachine):
                guest.machine.stop(self.clock())

    @property
    def api_url(self) -> str:
        """Where the Proxmox API is."""
        return f"https://{self._host}:{self._face.port}"

    @property
    def control_url(self) -> str:
        """Where the control interface is."""
        return f"http://127.0.0.1:{self._control_port}"

    async def follow_mode(self) -> None:
        """Call after setting the cluster's mode in-process."""
        await self._face.follow_mode()


def full_rights(dc: Datacenter, token_id: str, secret: str) -> None:
    """Create a token that may do all Defib asks for."""
    token = Token(token_id, secret)
    dc.access.add_token(token)
    for who in (token_id, token.owner):
        dc.access.grant("/", who, ALL_PRIVILEGES)
