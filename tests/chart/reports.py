"""Agents that report without end while replicas change, and remember what was acknowledged."""

import threading
import time
from dataclasses import dataclass, field

import httpx

PAUSE_SECONDS = 0.02


@dataclass(slots=True)
class Reports:
    """One sender for ten VMs. Each report carries a number of its own, as its uptime."""

    key: str
    urls: list[str]
    """Who is in the Service now, the newest last."""
    acknowledged: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to report."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Report no more."""
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        number = 0
        with httpx.Client(timeout=10, headers={"X-API-Key": self.key}) as http:
            while not self._stop.is_set():
                number += 1
                while not self._stop.is_set() and not self._send(http, number):
                    time.sleep(PAUSE_SECONDS)
                time.sleep(PAUSE_SECONDS)

    def _send(self, http: httpx.Client, number: int) -> bool:
        """Send one report; where nobody answers it is sent again, as agents do."""
        body = {
            "hostname": f"web-{number % 10}",
            "vmid": 100 + number % 10,
            "cpuUsage": 10,
            "ramUsage": 1024,
            "ramTotal": 4096,
            "uptime": number,
        }
        try:
            answer = http.post(f"{self.urls[-1]}/api/health/report", json=body)
        except httpx.HTTPError:
            return False
        if answer.status_code == httpx.codes.OK:
            self.acknowledged.append(number)
            return True
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            self.refused.append(f"{answer.status_code} {answer.text}")
            self._stop.set()
        return False
