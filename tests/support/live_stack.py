"""The whole of Defib on this machine, as `defib dev up` starts it, for tests from the outside."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from defib_dev.components.control_plane import require_kubectl
from support.ports import free_offset

UP_SECONDS = 2400
"""On a new machine the Kubernetes programs are built first."""


def defib(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the program `defib`; the output is text."""
    return subprocess.run(
        [sys.executable, "-m", "defib_cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("DEFIB_")},
    )


@dataclass(frozen=True)
class LiveStack:
    """A running stack: its status as JSON, and ways to ask its parts."""

    folder: Path
    status: Mapping[str, Any]

    @property
    def api(self) -> httpx.Client:
        """The API as the administrator."""
        return httpx.Client(
            base_url=self.status["api"],
            headers={"Authorization": f"Bearer {self.status['admin_token']}"},
            timeout=10,
        )

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """Read from the API; fails unless it answers 200."""
        with self.api as client:
            answer = client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def vm(self, hostname: str) -> dict[str, Any]:
        """One VM as the API shows it; empty where there is none."""
        found = [one for one in self.get("/api/vms") if one["hostname"] == hostname]
        return found[0] if found else {}

    def resets(self, hostname: str) -> list[dict[str, Any]]:
        """Its reset history, newest first."""
        history: list[dict[str, Any]] = self.get(
            f"/api/vms/{self.vm(hostname)['id']}/reset-history"
        )
        return history

    def report(self, **fields: object) -> httpx.Response:
        """Send a report as an agent would."""
        return httpx.post(
            f"{self.status['api']}/api/health/report",
            headers={"X-API-Key": self.status["agent_key"]},
            json=fields,
            timeout=10,
        )

    def control(self, method: str, path: str, **body: object) -> Any:  # noqa: ANN401 - JSON
        """Tell the Proxmox simulator what happens in its world."""
        url = self.status["proxmox"]["control"] + path
        answer = httpx.request(method, url, json=body or None, timeout=10)
        assert answer.is_success, answer.text
        return answer.json()

    def kubectl(
        self, *arguments: str, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl against the stack's API server, in its namespace."""
        return subprocess.run(
            [str(require_kubectl()), "--namespace", "defib", *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "KUBECONFIG": self.status["kubeconfig"]},
        )

    def object(self, kind: str, name: str) -> dict[str, Any]:
        """Read a custom resource; empty where there is none."""
        answer = self.kubectl("get", kind, name, "-o", "json")
        return json.loads(answer.stdout) if answer.returncode == 0 else {}

    def events_of(self, name: str) -> list[dict[str, Any]]:
        """Read the Events of a VirtualMachine."""
        answer = self.kubectl(
            "get", "events", "--field-selector", f"involvedObject.name={name}", "-o", "json"
        )
        assert answer.returncode == 0, answer.stderr
        items: list[dict[str, Any]] = json.loads(answer.stdout)["items"]
        return items


@contextmanager
def running_stack(folder: Path, *options: str) -> Iterator[LiveStack]:
    """Start everything with `defib dev up`, and stop it in the end."""
    where = ("--state-dir", str(folder))
    try:
        started = defib(
            "dev", "up", *options, *where, "--port-offset", str(free_offset()), timeout=UP_SECONDS
        )
        assert started.returncode == 0, started.stdout + started.stderr
        status = defib("dev", "status", "--json", *where)
        assert status.returncode == 0, status.stderr
        yield LiveStack(folder, json.loads(status.stdout))
    finally:
        stopped = defib("dev", "down", *where)
        assert stopped.returncode == 0, stopped.stdout + stopped.stderr
