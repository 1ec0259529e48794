"""Agents that report as fast as they are answered, each on its way through every outage, and count.

A report that got no answer, or another than a 200, is not counted: it may be stored, or not.
"""

import asyncio
from collections import Counter

import httpx

from support.running_api import SEED_REPORT
from support.waiting import eventually_async

PAUSE_SECONDS = 0.05


class CountingAgents:
    """`acknowledged` is by VMID."""

    def __init__(self, url: str, key: str, agents: int, *, first: int) -> None:
        self._url = url
        self._key = key
        self._stopping = False
        self._tasks = [asyncio.create_task(self._agent(first + one)) for one in range(agents)]
        self.acknowledged: Counter[int] = Counter()

    async def until(self, reports: int) -> None:
        """Wait until so many more are acknowledged."""
        wanted = self.acknowledged.total() + reports

        async def enough() -> bool:
            for task in self._tasks:
                assert not task.done(), task
            return self.acknowledged.total() >= wanted

        await eventually_async(
            enough, what=f"{reports} more reports are acknowledged", deadline_seconds=60
        )

    async def stop(self) -> None:
        """Let every agent have its last answer, and end."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _agent(self, vmid: int) -> None:
        body = {**SEED_REPORT, "vmid": vmid, "hostname": f"vm-{vmid}"}
        async with httpx.AsyncClient(base_url=self._url, timeout=30) as http:
            while not self._stopping:
                try:
                    answer = await http.post(
                        "/api/health/report", json=body, headers={"X-API-Key": self._key}
                    )
                except httpx.TransportError:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                if answer.status_code == httpx.codes.OK:
                    self.acknowledged[vmid] += 1
                else:
                    await asyncio.sleep(PAUSE_SECONDS)
