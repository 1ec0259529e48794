"""Asks the Proxmox simulator's control interface, again and again, which guests report."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import aiohttp
import structlog

from defib_dev.fleet_sim.guests import ControlSaysNonsense, SimulatedGuest, reporting_guests

log = structlog.get_logger(__name__)

PATH = "/control/guests?reporting"
TIMEOUT = aiohttp.ClientTimeout(total=5)


@dataclass(slots=True)
class Watcher:
    """Asks one control interface.

    While it is away the guests go on as they were last seen: a Proxmox whose API is down has not
    lost its guests either.
    """

    session: aiohttp.ClientSession
    control: str
    every_seconds: float
    away: bool = False

    async def watch(self, learn: Callable[[list[SimulatedGuest]], None]) -> None:
        """Ask until cancelled."""
        while True:
            guests = await self.ask()
            if guests is not None:
                learn(guests)
            await asyncio.sleep(self.every_seconds)

    async def ask(self) -> list[SimulatedGuest] | None:
        """Ask once; None when there is no sensible answer."""
        try:
            async with self.session.get(self.control + PATH, timeout=TIMEOUT) as answer:
                answer.raise_for_status()
                guests = reporting_guests(await answer.read())
        except (aiohttp.ClientError, TimeoutError, OSError, ControlSaysNonsense) as error:
            if not self.away:
                log.warning("fleet.control_away", control=self.control, error=repr(error))
            self.away = True
            return None
        if self.away:
            log.info("fleet.control_back", control=self.control)
        self.away = False
        return guests
