"""What tests of notifications let happen, and what they read."""

# ruff: noqa: ANN401 - rows and changed fields are of any type

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.domain.notices import NoticeKind, Severity
from defib_core.store import registry
from defib_core.store.notices import Delivery, Notice
from defib_core.store.registry import ReportedIdentity
from defib_notify.configuration import NotifyConfig
from defib_notify.metrics import Metrics
from defib_notify.sending import send
from defib_notify.worker import Worker

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
LOOPBACK = ["127.0.0.0/8"]


def config_of(*destinations: dict[str, Any], **changes: Any) -> NotifyConfig:
    """A configuration in which nothing waits."""
    given = {
        "destinations": list(destinations),
        "groupWaitSeconds": 0,
        "groupIntervalSeconds": 0,
        "holdGraceSeconds": 0,
        "allowedNetworks": LOOPBACK,
    }
    return NotifyConfig.model_validate({**given, **changes})


def webhook(url: str = "http://127.0.0.1:9/", name: str = "hook", **changes: Any) -> dict[str, Any]:
    """A destination."""
    return {"name": name, "webhook": {"url": url, "secret": SECRET}, **changes}


def a_notice(notice_id: int = 1, kind: NoticeKind = NoticeKind.VM_DOWN, **changes: Any) -> Notice:
    """A notice of a VM on pve1."""
    about = {
        "vm_id": notice_id,
        "vmid": 100 + notice_id,
        "hostname": f"web-{notice_id}",
        "cluster": "default",
        "node": "pve1",
        "scope": None,
        "detail": "healthy -> down: HeartbeatMissing",
        "at": NOW - timedelta(minutes=1),
        "created_at": NOW - timedelta(minutes=1),
    }
    about |= changes
    alone = () if about["vm_id"] is None else (about["vm_id"],)
    return Notice(id=notice_id, kind=kind, **{"vm_ids": alone, **about})


def a_delivery(**changes: Any) -> Delivery:
    """A message of one notice."""
    told = {
        "kind": "VmDown",
        "severity": "warning",
        "at": NOW.isoformat(),
        "vm": {
            "id": "vm_1",
            "hostname": "web-1",
            "cluster": "default",
            "vmid": "101",
            "node": "pve1",
        },
        "scope": None,
        "detail": "healthy -> down: HeartbeatMissing",
    }
    given = {
        "id": 7,
        "destination": "hook",
        "group_key": "node default/pve1",
        "severity": Severity.WARNING,
        "notices": [told],
        "created_at": NOW,
        "next_at": NOW,
        "attempts": 1,
        "delivered_at": None,
        "dead_at": None,
        "error": None,
    }
    return Delivery(**{**given, **changes})


@dataclass
class Outbox:
    """A database, and what happens in it."""

    engine: AsyncEngine
    vm_ids: dict[str, int] = field(default_factory=dict)

    async def furnish(self) -> None:
        """Make what a VM needs."""
        async with self.engine.begin() as connection:
            await registry.ensure_defaults(connection, "defib")

    async def vm(self, hostname: str = "web-1", vmid: int = 101, node: str = "pve1") -> int:
        """A VM that has reported once."""
        async with self.engine.begin() as connection:
            cluster = (
                await connection.execute(text("SELECT id FROM proxmox_cluster"))
            ).scalar_one()
            said = ReportedIdentity(
                cluster_id=cluster,
                vmid=vmid,
                hostname=hostname,
                node=node,
                smbios_uuid=None,
                agent_version=None,
            )
            vm_id = await registry.find_or_create(connection, said)
        await self.sql(
            "UPDATE vm_state SET state = 'healthy', last_heartbeat = defib_now() WHERE vm_id = :vm",
            vm=vm_id,
        )
        return vm_id

    async def change(self, vm_id: int, before: str, after: str, reason: str) -> None:
        """Let a VM change its state."""
        await self.sql(
            "INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)"
            " VALUES (:vm, defib_now(), :before, :after, :reason)",
            vm=vm_id,
            before=before,
            after=after,
            reason=reason,
        )

    async def down(self, vm_id: int) -> None:
        """Let a VM become down."""
        await self.change(vm_id, "healthy", "down", "HeartbeatMissing")

    async def all_down(self, vm_ids: Sequence[int]) -> None:
        """Let VMs become down in one statement, as a sweep does."""
        await self.sql(
            "WITH changed AS ("
            " UPDATE vm_state SET state = 'down' WHERE vm_id = ANY (:vms) RETURNING vm_id)"
            " INSERT INTO vm_transition (vm_id, at, from_state, to_state, reason)"
            " SELECT vm_id, defib_now(), 'healthy', 'down', 'HeartbeatMissing' FROM changed",
            vms=list(vm_ids),
        )

    async def back(self, vm_id: int) -> None:
        """Let a VM report again."""
        await self.sql("UPDATE vm_state SET state = 'healthy' WHERE vm_id = :vm", vm=vm_id)
        await self.change(vm_id, "down", "healthy", "HeartbeatFresh")

    async def hold(self, vm_id: int, reason: str, minutes: int) -> None:
        """Let a VM be held since some minutes."""
        await self.sql(
            "INSERT INTO hold (vm_id, reason, message, started_at)"
            " VALUES (:vm, :reason, 'because', defib_now() - make_interval(mins => :minutes))",
            vm=vm_id,
            reason=reason,
            minutes=minutes,
        )

    async def sql(self, statement: str, **bound: Any) -> list[Any]:
        """Run a statement; its rows, where it has any."""
        async with self.engine.begin() as connection:
            done = await connection.execute(text(statement), bound)
            return list(done.all()) if done.returns_rows else []

    def worker(self, config: NotifyConfig, send_it: Any = send) -> Worker:
        """A worker on this database."""
        return Worker(self.engine, config, Metrics(), send_it)

    async def turn(self, config: NotifyConfig, send_it: Any = send) -> int:
        """Gather once and send once; how many messages were tried."""
        worker = self.worker(config, send_it)
        await worker.gather()
        return await worker.send_due()

    async def kinds(self) -> list[str]:
        """The kinds of all notices."""
        return [row.kind for row in await self.sql("SELECT kind FROM notice ORDER BY id")]

    async def deliveries(self) -> list[Any]:
        """All deliveries."""
        return await self.sql("SELECT * FROM delivery ORDER BY id")
