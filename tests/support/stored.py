"""A database in one transaction that ends with the test: VMs, heartbeats, and what became of them.

For tests of one connection. Those of several make a database of their own.
"""
# ruff: noqa: ANN401 - rows and changed fields are of any type

import itertools
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from psycopg import AsyncConnection as HotConnection
from psycopg.rows import TupleRow
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from defib_core.config.system_config import SystemConfigSpec
from defib_core.domain.actions import Action, Phase, Source, steps_of
from defib_core.store import execution, heartbeats, intents, mirror, registry, sweep
from defib_core.store.clock import database_now
from defib_core.store.execution import Claim
from defib_core.store.heartbeats import Heartbeat
from defib_core.store.mirror import Conflict, ObjectKey, VmObject
from defib_core.store.registry import ReportedIdentity
from defib_core.store.sweep import FleetClock
from support import clock

NAMESPACE = "defib"
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
STALE_TIMEOUT = 5 * MINUTE
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
CREATED = datetime(2026, 2, 1, tzinfo=UTC)

A_HEARTBEAT = Heartbeat(
    vm_id=0,
    status="running",
    cpu=10.0,
    ram=1024,
    ram_total=4096,
    disk=5000,
    disk_total=10000,
    uptime=3600,
    boot_id="boot-1",
    agent_time=None,
)


def vm_object(vmid: int, **changes: Any) -> VmObject:
    """A VirtualMachine named after its vmid; `uid`, `name`, `created_at` go into its key."""
    key = ObjectKey(
        namespace=changes.pop("namespace", NAMESPACE),
        name=changes.pop("name", f"vm-{vmid}"),
        uid=changes.pop("uid", f"uid-{vmid}"),
        generation=changes.pop("generation", 1),
        created_at=changes.pop("created_at", CREATED),
    )
    given = VmObject(
        key=key,
        cluster="default",
        config="default",
        vmid=vmid,
        hostname=None,
        proxmox_name=None,
        stale_timeout=None,
        cpu_threshold=None,
        ram_threshold=None,
        max_attempts=None,
        enabled=True,
        steps=("Reset", "Reset", "StopStart"),
        paused_reason=None,
        paused_until=None,
        labels={},
    )
    return replace(given, **changes)


def config_key(name: str = "default", uid: str | None = None) -> ObjectKey:
    """The key of a SystemConfig."""
    return ObjectKey(NAMESPACE, name, uid or f"uid-config-{name}", 1, CREATED)


@dataclass(slots=True)
class Stored:
    """The store as one test sees it. `now` is what the database's clock shows."""

    connection: AsyncConnection
    hot: HotConnection[TupleRow]
    now: datetime
    vmids: Iterator[int] = field(default_factory=lambda: itertools.count(100))

    # time

    async def move(self, by: timedelta) -> datetime:
        """Let time pass."""
        self.now = await clock.move(self.connection, by)
        return self.now

    # VMs and their reports

    async def vm(self, vmid: int | None = None, **changes: Any) -> int:
        """A managed VM that has not reported."""
        given = vm_object(next(self.vmids) if vmid is None else vmid, **changes)
        result = await mirror.mirror_vm(self.connection, given, self.now)
        assert not isinstance(result, Conflict)
        return result.vm_id

    async def agent_vm(self, vmid: int | None = None, **changes: Any) -> int:
        """A VM that registered itself."""
        said = ReportedIdentity(
            cluster_id=await self.cluster_id(),
            vmid=next(self.vmids) if vmid is None else vmid,
            hostname="guest",
            node="pve1",
            smbios_uuid=None,
            agent_version=None,
        )
        return await registry.find_or_create(
            self.connection, msgspec.structs.replace(said, **changes)
        )

    async def reporting_vm(self, **changes: Any) -> int:
        """A managed VM that has just reported, and did often enough before to be armed."""
        vm_id = await self.vm(**changes)
        await self.set(vm_id, reports=10, clock_floor=LONG_AGO)
        await self.execute("UPDATE vm SET managed_at = :at WHERE id = :vm", at=LONG_AGO, vm=vm_id)
        await self.report(vm_id)
        return vm_id

    async def down_vm(self, **changes: Any) -> int:
        """A managed VM that is down since this moment."""
        vm_id = await self.reporting_vm(**changes)
        await self.set(
            vm_id,
            state="down",
            state_since=self.now,
            alive_since=None,
            last_heartbeat=self.now - 2 * STALE_TIMEOUT,
        )
        return vm_id

    async def report(self, *vm_ids: int, **changes: Any) -> frozenset[int]:
        """Store a heartbeat of each VM."""
        rows = [msgspec.structs.replace(A_HEARTBEAT, vm_id=vm_id, **changes) for vm_id in vm_ids]
        return await heartbeats.store(self.hot, rows)

    # the fleet

    async def cluster_id(self) -> int:
        """The cluster named default."""
        sql = "SELECT id FROM proxmox_cluster WHERE namespace = :ns AND name = 'default'"
        return int(await self.value(sql, ns=NAMESPACE))

    async def config_id(self, name: str = "default") -> int:
        """A SystemConfig."""
        sql = "SELECT id FROM system_config WHERE namespace = :ns AND name = :name"
        return int(await self.value(sql, ns=NAMESPACE, name=name))

    async def configure(self, name: str = "default", **spec: Any) -> int:
        """Put a SystemConfig in force; return its id."""
        given = SystemConfigSpec(**spec)
        await mirror.mirror_config(self.connection, config_key(name), given, self.now)
        return await self.config_id(name)

    async def change_states(self, **changes: Any) -> Sequence[sweep.Change]:
        """Sweep the default fleet; the changes are of its FleetClock."""
        fleet = FleetClock(
            config_id=await self.config_id(),
            floor=LONG_AGO,
            blind=False,
            boot_grace=5 * MINUTE,
            clear_after=60 * MINUTE,
        )
        return await sweep.change_states(
            self.connection, [replace(fleet, **changes)], await database_now(self.connection)
        )

    # resets

    async def ask(self, vm_id: int, **changes: Any) -> int:
        """A person's request that is written down; return the intent's id."""
        request = intents.ManualRequest(vm_id, Source.API, "ann", "asked for")
        result = await intents.request_manual(
            self.connection, replace(request, **changes), self.now
        )
        assert isinstance(result, intents.Requested), result
        return result.intent_id

    async def lead(self, epoch: int = 1, holder: str = "operator-a") -> int:
        """Make somebody the leader, for an hour."""
        await self.execute(
            "UPDATE leader_lease SET holder = :holder, epoch = :epoch,"
            " expires_at = defib_now() + interval '1 h'",
            holder=holder,
            epoch=epoch,
        )
        return epoch

    async def send(self, vm_id: int, action: Action = Action.RESET, **changes: Any) -> int:
        """A person's reset whose first POST is claimed and answered; return the intent's id."""
        intent_id = await self.ask(vm_id, **changes)
        assert await self.claim(intent_id, action=action)
        await execution.record_sent(self.connection, intent_id, 1, f"UPID:{intent_id}", {})
        return intent_id

    async def decide(self, vm_id: int, *, dry_run: bool = False) -> int | None:
        """The sweep's intent for a VM."""
        intent = intents.AutoIntent(vm_id, Action.RESET, dry_run, {"why": "a test"})
        return await intents.create_auto(self.connection, intent, epoch=1, now=self.now)

    async def dry_run(self, vm_id: int) -> int:
        """A reset that was decided and not sent."""
        intent_id = await self.decide(vm_id, dry_run=True)
        assert intent_id is not None
        return intent_id

    async def claim(
        self, intent_id: int, *, seq: int = 1, action: Action = Action.RESET, epoch: int = 1
    ) -> bool:
        """Claim a POST under an epoch that is made sure of being in force."""
        await self.lead(epoch)
        step = steps_of(action)[seq - 1]
        wanted = Claim(intent_id, seq, step, action, "pve1")
        return await execution.claim(self.connection, wanted, epoch=epoch, now=self.now)

    async def end(self, intent_id: int, phase: Phase = Phase.SUCCEEDED, *, seq: int = 1) -> None:
        """End an intent with this POST."""
        await self.end_step(intent_id, phase, seq=seq)
        await execution.finish(
            self.connection, intent_id, phase=phase, error=None, response=None, now=self.now
        )

    async def end_step(
        self, intent_id: int, phase: Phase = Phase.SUCCEEDED, *, seq: int = 1
    ) -> None:
        """End one POST."""
        await execution.finish_step(
            self.connection, intent_id, seq, phase=phase, result="OK", now=self.now
        )

    # rows

    async def execute(self, sql: str, **bound: Any) -> Sequence[Row[Any]]:
        """Run a statement; return its rows where it has any."""
        result = await self.connection.execute(text(sql), bound)
        return result.all() if result.returns_rows else []

    async def value(self, sql: str, **bound: Any) -> Any:
        """The one value of a query."""
        return (await self.connection.execute(text(sql), bound)).scalar_one()

    async def set(self, vm_id: int, **columns: Any) -> None:
        """Change columns of `vm_state`."""
        pairs = ", ".join(f"{name} = :{name}" for name in columns)
        await self.execute(
            f"UPDATE vm_state SET {pairs} WHERE vm_id = :vm_id", vm_id=vm_id, **columns
        )

    async def state(self, vm_id: int) -> Row[Any]:
        """The VM's row of `vm_state`."""
        return (await self.execute("SELECT * FROM vm_state WHERE vm_id = :vm_id", vm_id=vm_id))[0]

    async def record(self, vm_id: int) -> Row[Any]:
        """The VM's row of `vm`."""
        return (await self.execute("SELECT * FROM vm WHERE id = :vm_id", vm_id=vm_id))[0]

    async def intent(self, intent_id: int) -> Row[Any]:
        """A row of `reset_history`."""
        return (await self.execute("SELECT * FROM reset_history WHERE id = :id", id=intent_id))[0]

    async def transitions(self, vm_id: int) -> list[tuple[str, str, str]]:
        """What became of a VM: from, to and why, oldest first."""
        rows = await self.execute(
            "SELECT from_state, to_state, reason FROM vm_transition"
            " WHERE vm_id = :vm_id ORDER BY id",
            vm_id=vm_id,
        )
        return [(row.from_state, row.to_state, row.reason) for row in rows]

    async def holds(self, vm_id: int) -> list[tuple[str, datetime, datetime | None]]:
        """Reasons, beginnings and ends of a VM's holds, oldest first."""
        rows = await self.execute(
            "SELECT reason, started_at, ended_at FROM hold WHERE vm_id = :vm_id ORDER BY id",
            vm_id=vm_id,
        )
        return [(row.reason, row.started_at, row.ended_at) for row in rows]


@asynccontextmanager
async def stored_in(engine: AsyncEngine) -> AsyncIterator[Stored]:
    """A transaction that is rolled back."""
    async with engine.connect() as connection:
        await connection.begin()
        hot = (await connection.get_raw_connection()).driver_connection
        assert isinstance(hot, HotConnection)
        await registry.ensure_defaults(connection, NAMESPACE)
        yield Stored(connection, hot, await database_now(connection))
        await connection.rollback()
