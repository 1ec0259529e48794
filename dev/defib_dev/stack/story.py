"""The demo's story: wait until one VM is seen healthy, let a little time pass, and hang it.

Talks to the API and to the simulator's control interface only, like a person at the keyboard.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from defib_dev.components import readiness

_HEALTHY_WITHIN_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Story:
    """Which VM, and where to see and hang it. `delay_seconds` is time for the reader."""

    api: str
    token_file: Path
    control: str
    hostname: str
    vmid: int
    delay_seconds: float

    def tell(self) -> None:
        """Run once, to the end."""
        began = time.monotonic()
        deadline = _HEALTHY_WITHIN_SECONDS
        readiness.wait_until("the demo", self._not_healthy, deadline_seconds=deadline)
        print(f"{self.hostname} is healthy", flush=True)
        time.sleep(max(0.0, self.delay_seconds - (time.monotonic() - began)))
        self._freeze()
        print(f"{self.hostname} (vmid {self.vmid}) hangs now: no heartbeats, no I/O", flush=True)

    def _not_healthy(self) -> str | None:
        """None when the API says healthy, else what it says."""
        header = {"Authorization": f"Bearer {self.token_file.read_text().strip()}"}
        try:
            with httpx.Client(trust_env=False, timeout=5, headers=header) as client:
                answer = client.get(f"{self.api}/api/vms")
                answer.raise_for_status()
        except httpx.HTTPError as error:
            return str(error)
        mine = [vm for vm in answer.json() if vm["hostname"] == self.hostname]
        health = mine[0]["health"] if mine else "not known yet"
        return None if health == "healthy" else f"{self.hostname} is {health}"

    def _freeze(self) -> None:
        with httpx.Client(trust_env=False, timeout=5) as client:
            url = f"{self.control}/control/guests/{self.vmid}"
            client.patch(url, json={"frozen": True}).raise_for_status()
