"""Everything an operator works between, for one test, and operators to work there."""

# ruff: noqa: ANN401 - fields of specs and settings are of any type

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from defib_core.config.settings import OperatorSettings
from defib_dev.components import processes
from defib_dev.components.ports import free_port
from defib_dev.components.processes import ProcessRecord, ProcessSpec
from defib_dev.proxmox_sim.changes import change_guest
from defib_operator.main import serve
from operator_process.agents import Agents
from operator_process.kube_api import KubeApi, Object
from support.logged import Logged
from support.proxmox import SECRET, TOKEN_ID, RunningSimulator
from support.running_api import run_sql
from support.waiting import eventually_async

VM, CONFIG, CLUSTER = "VirtualMachine", "SystemConfig", "ProxmoxCluster"
TOKEN_SECRET_NAME = "proxmox-token"
QUICK: Mapping[str, Any] = {
    "staleTimeoutMs": 2000,
    "reportIntervalSeconds": 1,
    "staleCheckIntervalSeconds": 1,
    "bootGraceSeconds": 2,
}
"""A SystemConfig with which a story takes seconds."""
QUICK_SAFETY: Mapping[str, Any] = {
    "ioWindowSeconds": 1,
    "blindAfterSeconds": 2,
    "armAfterReports": 1,
    "stormCooldownSeconds": 0,
}
STOPS_WITHIN = 5.0


@dataclass(slots=True)
class World:
    """A namespace, a database, a simulated Proxmox cluster and its agents."""

    kube: KubeApi
    kubeconfig: Path
    database_url: str
    proxmox: RunningSimulator
    agents: Agents
    logged: Logged
    expected_errors: set[str] = field(default_factory=set)
    """Events of error lines that this test provokes."""

    @property
    def namespace(self) -> str:
        """Where everything is."""
        namespace: str = self.kube.namespace
        return namespace

    # what people do

    async def furnish(self, *, safety: Mapping[str, object] | None = None, **changes: Any) -> None:
        """Apply the Secret, the ProxmoxCluster and the SystemConfig that most tests want."""
        await self.kube.put_secret(TOKEN_SECRET_NAME, {"tokenId": TOKEN_ID, "tokenSecret": SECRET})
        await self.apply_cluster()
        await self.apply_config(safety=safety, **changes)

    async def apply_cluster(self, name: str = "default", **changes: Any) -> Object:
        """Apply a ProxmoxCluster for the simulator."""
        spec = {
            "endpoints": [self.proxmox.simulator.api_url],
            "caBundle": self.proxmox.authority.pem,
            "tokenSecretRef": {"name": TOKEN_SECRET_NAME},
            "timeouts": {"connectSeconds": 2, "readSeconds": 3, "postSeconds": 5},
        }
        return await self.kube.apply(CLUSTER, name, {**spec, **changes})

    async def apply_config(
        self,
        name: str = "default",
        *,
        safety: Mapping[str, object] | None = None,
        **changes: Any,
    ) -> Object:
        """Apply a quick SystemConfig with some fields changed."""
        brakes = {**QUICK_SAFETY, **(safety or {})}
        return await self.kube.apply(CONFIG, name, {**QUICK, **changes, "safety": brakes})

    async def apply_vm(
        self, name: str, vmid: int, *, labels: Mapping[str, str] | None = None, **spec: Any
    ) -> Object:
        """Apply a VirtualMachine."""
        return await self.kube.apply(VM, name, {"vmid": vmid, **spec}, labels=labels)

    def change(self, vmid: int, **changes: object) -> None:
        """Let something happen to a simulated guest, in the control interface's words."""
        change_guest(self.proxmox.dc, vmid, changes, datetime.now(UTC))

    async def proxmox_api(self, **changes: object) -> None:
        """Change how the simulated API behaves, over its control interface."""
        url = f"{self.proxmox.simulator.control_url}/control/api"
        async with httpx.AsyncClient() as http:
            (await http.patch(url, json=changes)).raise_for_status()

    async def watched(self, name: str = "web-0", vmid: int = 100, **spec: Any) -> None:
        """Let a guest run, report and be monitored; returns when all of that is known."""
        self.proxmox.guest(vmid, name, bootSeconds=1)
        await self.apply_vm(name, vmid, **spec)
        await self.agents.begin(vmid, name)
        await self.condition(name, "Ready", "Monitored")
        await self.health(name, "healthy")

    # what people see

    async def status(self, kind: str, name: str) -> dict[str, Any]:
        """The status of an object; empty where there is none."""
        found = await self.kube.get(kind, name)
        status: dict[str, Any] = {} if found is None else found.get("status", {})
        return status

    async def condition(
        self, name: str, which: str, reason: str, *, kind: str = VM, deadline_seconds: float = 15
    ) -> dict[str, Any]:
        """Wait until a condition has a reason; return it."""
        seen: dict[str, Any] = {}

        async def has_it() -> dict[str, Any] | None:
            seen.update(await self.status(kind, name))
            for one in seen.get("conditions", []):
                if one["type"] == which and one["reason"] == reason:
                    found: dict[str, Any] = one
                    return found
            return None

        try:
            found = await eventually_async(
                has_it, what=f"{which} of {name} is {reason}", deadline_seconds=deadline_seconds
            )
        except AssertionError as error:
            raise AssertionError(f"{error}; its status: {seen}") from error
        assert found is not None
        return found

    async def health(self, name: str, word: str, *, deadline_seconds: float = 20) -> dict[str, Any]:
        """Wait until a VM's status says this health; return the status."""

        async def is_so() -> dict[str, Any] | None:
            status = await self.status(VM, name)
            return status if status.get("health") == word else None

        found = await eventually_async(
            is_so, what=f"{name} is {word}", deadline_seconds=deadline_seconds
        )
        assert found is not None
        return found

    # what is behind it

    async def sql(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Ask the database."""
        return list(await run_sql(self.database_url, query, *parameters))

    async def vm_row(self, vmid: int, columns: str) -> tuple[Any, ...] | None:
        """Some columns of a VM and its state."""
        rows = await self.sql(
            f"SELECT {columns} FROM vm v JOIN vm_state s ON s.vm_id = v.id WHERE v.vmid = %s", vmid
        )
        return rows[0] if rows else None

    async def resets(self, vmid: int) -> list[tuple[Any, ...]]:
        """Each intent of a VM: source, phase, and whether it is proven that the VM came back."""
        return await self.sql(
            "SELECT r.source, r.phase, r.recovered_at IS NOT NULL FROM reset_history r"
            " JOIN vm v ON v.id = r.vm_id WHERE v.vmid = %s ORDER BY r.id",
            vmid,
        )

    async def hold_reasons(self, vmid: int) -> list[str]:
        """Why a VM was not reset, in the order of time."""
        rows = await self.sql(
            "SELECT h.reason FROM hold h JOIN vm v ON v.id = h.vm_id"
            " WHERE v.vmid = %s ORDER BY h.id",
            vmid,
        )
        return [row[0] for row in rows]

    async def held(self, vmid: int, reason: str, *, deadline_seconds: float = 20) -> None:
        """Wait until a VM is held for a reason."""

        async def is_so() -> bool:
            rows = await self.sql(
                "SELECT h.reason FROM hold h JOIN vm v ON v.id = h.vm_id"
                " WHERE v.vmid = %s AND h.ended_at IS NULL",
                vmid,
            )
            return rows == [(reason,)]

        try:
            await eventually_async(
                is_so, what=f"{vmid} is held: {reason}", deadline_seconds=deadline_seconds
            )
        except AssertionError as error:
            held = await self.hold_reasons(vmid)
            raise AssertionError(f"{error}; held so far: {held}") from error

    def posts(self, vmid: int) -> list[str]:
        """The power actions Proxmox was asked for."""
        return [post.action for post in self.proxmox.dc.posts if post.vmid == vmid]

    async def sweeps(self, number: int = 2) -> None:
        """Wait for some whole sweeps from now."""
        for _ in range(number):
            (before,) = await self.sql("SELECT swept_at FROM operator_health")

            async def is_later(before: tuple[Any, ...] = before) -> bool:
                return await self.sql("SELECT swept_at FROM operator_health") != [before]

            await eventually_async(is_later, what="the operator sweeps")

    async def listed(self, times: int = 1) -> None:
        """Wait until operators in this process have listed everything so often."""

        async def is_said() -> bool:
            return self._listings() >= times

        await eventually_async(is_said, what="everything was listed")

    def _listings(self) -> int:
        return sum(line["event"] == "listed_everything" for line in self.logged.lines())

    async def is_led_by(self, identity: str, *, deadline_seconds: float = 60) -> None:
        """Wait until an operator leads."""

        async def leads() -> bool:
            rows = await self.sql("SELECT holder, expires_at > defib_now() FROM leader_lease")
            return rows == [(identity, True)]

        await eventually_async(leads, what=f"{identity} leads", deadline_seconds=deadline_seconds)

    # operators

    def settings(self, **changes: Any) -> OperatorSettings:
        """Settings of an operator for this world."""
        given: dict[str, Any] = {
            "database_url": SecretStr(self.database_url),
            "kubeconfig": self.kubeconfig,
            "namespace": self.namespace,
            "identity": "operator-1",
            "probe_host": "127.0.0.1",
            "probe_port": free_port(),
        }
        return OperatorSettings(**{**given, **changes})

    @asynccontextmanager
    async def operator(
        self, *, until_listed: bool = True, **changes: Any
    ) -> AsyncIterator[OperatorSettings]:
        """An operator in this process; stopped in good order when the block ends."""
        settings, before = self.settings(**changes), self._listings()
        stop = asyncio.Event()
        task = asyncio.create_task(serve(settings, stop), name="operator")
        try:
            assert settings.identity is not None
            await self.is_led_by(settings.identity)
            if until_listed:
                await self.listed(before + 1)
            yield settings
        finally:
            stop.set()
            async with asyncio.timeout(STOPS_WITHIN):
                await task
            _give_signals_back()

    @contextmanager
    def process(self, folder: Path, **changes: Any) -> Iterator["OperatorProcess"]:
        """An operator in a process of its own; killed when the block ends, if it still runs."""
        settings = self.settings(**changes)
        running = OperatorProcess.start(settings, folder)
        try:
            yield running
        finally:
            running.kill()


def _give_signals_back() -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(slots=True)
class OperatorProcess:
    """A running `defib operator run`."""

    record: ProcessRecord
    settings: OperatorSettings
    log: Path

    @classmethod
    def start(cls, settings: OperatorSettings, folder: Path) -> "OperatorProcess":
        """Start it; its log is in the folder."""
        url = folder / f"{settings.identity}.url"
        url.write_text(settings.database_url.get_secret_value())
        spec = ProcessSpec(
            name=str(settings.identity),
            argv=(sys.executable, "-m", "defib_cli.main", "operator", "run"),
            env={
                "DEFIB_DATABASE_URL_FILE": str(url),
                "DEFIB_KUBECONFIG": str(settings.kubeconfig),
                "DEFIB_NAMESPACE": settings.namespace,
                "DEFIB_IDENTITY": str(settings.identity),
                "DEFIB_PROBE_HOST": settings.probe_host,
                "DEFIB_PROBE_PORT": str(settings.probe_port),
                "DEFIB_LOG_LEVEL": settings.log_level,
            },
            dies_with_parent=True,
        )
        log = folder / f"{settings.identity}.log"
        return cls(processes.start(spec, log), settings, log)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert processes.is_running(self.record), self.log.read_text()
        os.kill(self.record.pid, number)

    @property
    def is_running(self) -> bool:
        """Whether it still runs."""
        return processes.is_running(self.record)

    def kill(self) -> None:
        """End it at once, wherever it stands."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.record.pid, signal.SIGKILL)
        processes.stop(self.record)
