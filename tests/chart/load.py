"""A few hundred reports a second while what takes them is replaced, and what was acknowledged."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from support.proxmox import RunningSimulator
from support.running_api import run_sql
from support.waiting import eventually_async

VMS = range(100, 150)
BATCHES_A_SECOND = 6
"""Times fifty reports: three hundred a second, where the machine keeps up."""
SOME = 500
LONG = 180.0


@dataclass(slots=True)
class Load:
    """All agents at once, in batches; each report carries a number of its own as its uptime."""

    key: str
    urls: list[str]
    proxmox: RunningSimulator
    acknowledged: set[int] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    _number: int = 0

    async def run(self) -> None:
        """Report until cancelled; what is not acknowledged is sent again, as agents do."""
        headers = {"X-API-Key": self.key}
        batch: list[dict[str, object]] = []
        async with httpx.AsyncClient(timeout=10, headers=headers) as http:
            while True:
                if not batch:
                    batch = [self._report(vmid) for vmid in VMS if self._beats(vmid)]
                await self._send(http, batch)
                await asyncio.sleep(1 / BATCHES_A_SECOND)

    async def until_more(self) -> None:
        """Wait until some more are acknowledged, and none was refused."""
        enough = len(self.acknowledged) + SOME

        async def is_so() -> bool:
            assert self.refused == []
            return len(self.acknowledged) >= enough

        await eventually_async(is_so, what=f"{SOME} more reports", deadline_seconds=LONG)

    def _beats(self, vmid: int) -> bool:
        now = datetime.now(UTC)
        self.proxmox.dc.advance(now)
        return self.proxmox.dc.reports(self.proxmox.dc.guests[vmid], now)

    def _report(self, vmid: int) -> dict[str, object]:
        self._number += 1
        return {
            "hostname": f"web-{vmid}",
            "vmid": vmid,
            "cpuUsage": 10,
            "ramUsage": 1024,
            "ramTotal": 4096,
            "uptime": self._number,
            "bootId": self.proxmox.dc.guests[vmid].simulated.boot_id,
            "ageSeconds": 0,
        }

    async def _send(self, http: httpx.AsyncClient, batch: list[dict[str, object]]) -> None:
        """Send a batch; what was not taken stays in it."""
        try:
            answer = await http.post(f"{self.urls[0]}/api/health/reports", json={"reports": batch})
        except httpx.HTTPError:
            self.urls.reverse()  # nobody is there: it is out of the Service
            return
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return
        told = answer.json()
        lost = {one["index"] for one in told.get("rejected", []) if one["status"] == 503}
        if answer.status_code != httpx.codes.OK or len(told["rejected"]) > len(lost):
            self.refused.append(answer.text)
        numbers = [int(str(one["uptime"])) for at, one in enumerate(batch) if at not in lost]
        self.acknowledged.update(numbers)
        batch[:] = [one for at, one in enumerate(batch) if at in lost]


@asynccontextmanager
async def running(load: Load) -> AsyncIterator[None]:
    """Load for as long as the block lasts."""
    task = asyncio.create_task(load.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def stored_numbers(url: str) -> set[int]:
    """The numbers of all reports that are stored."""
    return {row[0] for row in await run_sql(url, "SELECT uptime FROM vm_metric")}
