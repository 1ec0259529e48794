"""Machines that enrol and report, as the tests of identity see them."""

from dataclasses import dataclass, field
from typing import Any

import httpx

from support.running_api import SEED_REPORT, RunningApi

UUID_A = "4c4c4544-0042-4b10-8057-b6c04f4d3432"
TURNED_A = "44454c4c-4200-104b-8057-b6c04f4d3432"
"""The same, as firmware shows it that turns the first three parts round."""
UUID_B = "7d1f0a52-9a3e-4c57-8f0e-3f2f2f7c9b11"


@dataclass(slots=True)
class Site:
    """An API, an administrator, and the machines before it."""

    api: RunningApi
    tokens: list[str] = field(default_factory=list)

    async def enrolment(self, **wish: object) -> dict[str, Any]:
        """Make an enrolment token."""
        body = {"name": "rack-7", **wish}
        answer = await self.api.http.post(
            "/api/enrolment-tokens", json=body, headers=self.api.admin
        )
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made

    async def try_to_enrol(self, token: str, **machine: object) -> httpx.Response:
        """Show an enrolment token."""
        body = {"hostname": "web-01", **machine}
        return await self.api.http.post(
            "/api/enroll", json=body, headers={"X-Enrolment-Token": token}
        )

    async def enrol(self, **machine: object) -> dict[str, Any]:
        """Enrol a machine with an enrolment token of its own."""
        made = await self.enrolment()
        answer = await self.try_to_enrol(made["token"], **machine)
        assert answer.status_code == 200, answer.text
        enrolled: dict[str, Any] = answer.json()
        return enrolled

    async def report(self, token: str, **changes: object) -> httpx.Response:
        """Report under a token; `vmid` and the rest of who it is only where they are given."""
        body = {**SEED_REPORT, "hostname": "web-01", "vmid": None, "node": None, **changes}
        given = {name: value for name, value in body.items() if value is not None}
        return await self.api.send(given, **{"X-API-Key": token})

    async def change(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Ask for a change as the administrator."""
        return await self.api.http.request(
            method, path, json=body if method == "POST" else None, headers=self.api.admin
        )
