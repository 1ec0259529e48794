"""What Defib asks of one Proxmox cluster, and the only thing it sends: power actions.

Reads fail over from endpoint to endpoint. A POST goes out once; another endpoint is tried only
where no connection came about. An endpoint of another cluster than the rest gets neither: what was
looked at in the one must not be reset in the other. Free of policy: what to make of an answer is
for the callers.
"""

import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from http import HTTPStatus
from types import TracebackType
from typing import Self, TypeVar

from defib_core.domain.actions import PowerStep
from defib_operator.proxmox import parse
from defib_operator.proxmox.endpoints import EndpointOrder, Kinship
from defib_operator.proxmox.errors import (
    ProxmoxError,
    ProxmoxGarbage,
    ProxmoxNodeUnreachable,
    ProxmoxUnreachable,
)
from defib_operator.proxmox.outcomes import (
    PostOutcome,
    TaskState,
    Unknown,
    outcome_of_answer,
    outcome_of_error,
)
from defib_operator.proxmox.proxmoxer_wire import ProxmoxerWire
from defib_operator.proxmox.rights import TokenRights, token_rights
from defib_operator.proxmox.settings import ProxmoxSettings
from defib_operator.proxmox.timing import Note, no_note, timed
from defib_operator.proxmox.translate import ping_of, translated
from defib_operator.proxmox.upid import Upid
from defib_operator.proxmox.values import AgentPing, GuestLook, Inventory
from defib_operator.proxmox.wire import (
    Lane,
    Parameters,
    Wire,
    WireError,
    WireFailure,
    WireGarbage,
    WireRefusal,
)

Value = TypeVar("Value")

CLUSTER_STATUS = "cluster/status"
LOG_LINES = 50
"""How much of a log's end is kept."""
LOG_LIMIT = 5000
"""Logs of power actions are far shorter."""
TASKS_SEEN = 500
"""Proxmox's own default is 50."""


class ProxmoxClient:
    """One cluster. Safe to share among tasks of one event loop; `close` it in the end."""

    def __init__(
        self, settings: ProxmoxSettings, wire: Wire | None = None, *, note: Note = no_note
    ) -> None:
        self._settings = settings
        self._note = note
        self._wire: Wire = wire or ProxmoxerWire(settings)
        self._order = EndpointOrder(settings.endpoints)
        self._kinship = Kinship(settings.endpoints)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of connections and threads; calls under way end by themselves."""
        await self._wire.close()

    async def rotate(self, settings: ProxmoxSettings) -> None:
        """Go on with other settings, such as a new token. Calls under way end by themselves."""
        before, self._wire = self._wire, ProxmoxerWire(settings)
        self._settings, self._order = settings, EndpointOrder(settings.endpoints)
        self._kinship = Kinship(settings.endpoints)
        await before.close()

    async def inventory(self, lane: Lane = Lane.SWEEP) -> Inventory:
        """List VMs and nodes. Raises ProxmoxError; quorum and version may stay unread."""
        vms = await self._read("list of VMs", "cluster/resources", {"type": "vm"}, lane=lane)
        nodes = await self._read("list of nodes", "nodes", lane=lane)
        unreadable: dict[str, str] = {}
        return Inventory(
            vms=parse.inventory_vms(vms),
            nodes=parse.nodes(nodes),
            quorate=await self._optional("quorate", lambda: self._quorate(lane), unreadable),
            version=await self._optional("version", lambda: self._version(lane), unreadable),
            unreadable=unreadable,
        )

    async def look(self, node: str, vmid: int, lane: Lane = Lane.SWEEP) -> GuestLook:
        """Ask for one VM's status and configuration now, both or none. Raises ProxmoxError."""
        guest, called = f"nodes/{node}/qemu/{vmid}", f"VM {vmid} on {node}"
        status = await self._read(
            f"status of {called}", f"{guest}/status/current", node=node, lane=lane
        )
        config = await self._read(
            f"configuration of {called}", f"{guest}/config", {"current": 1}, node=node, lane=lane
        )
        return parse.guest_look(
            node, vmid, parse.row(status, "the VM's status"), parse.row(config, "the VM's config")
        )

    async def agent_ping(self, node: str, vmid: int, lane: Lane = Lane.SWEEP) -> AgentPing:
        """Ask the QEMU guest agent for a sign of life. Raises nothing of ours."""
        path = f"nodes/{node}/qemu/{vmid}/agent/ping"
        try:
            await self._send(
                lambda endpoint: self._wire.probe(endpoint, path, lane), path, node, lane
            )
        except WireError as error:
            return ping_of(error)
        return AgentPing.ANSWERED

    def place(self) -> AbstractAsyncContextManager[object]:
        """Wait for a place among those who send: within it a POST leaves without waiting."""
        return self._wire.place()

    async def post_power(
        self, node: str, vmid: int, action: PowerStep, not_after: float = math.inf
    ) -> PostOutcome:
        """Send one power action, once. Every outcome is a value.

        Nothing leaves once the monotonic clock shows `not_after`. Cancelled while it runs, its
        outcome is unknown to the caller.
        """
        path = f"nodes/{node}/qemu/{vmid}/status/{action.value}"
        try:
            answer = await self._send(
                lambda endpoint: self._wire.post(endpoint, path, not_after), path, node, Lane.RESET
            )
        except WireError as error:
            return outcome_of_error(error)
        return outcome_of_answer(answer, vmid=vmid, step=action)

    async def task_status(self, upid: Upid) -> TaskState:
        """Ask how a task is doing, on its own node. Raises nothing of ours."""
        path = f"nodes/{upid.node}/tasks/{upid}/status"
        try:
            task = await self._read(f"task {upid}", path, node=upid.node, lane=Lane.TASK)
            return parse.task_state(task)
        except ProxmoxError as error:
            return Unknown(str(error))

    async def task_log_tail(self, upid: Upid) -> tuple[str, ...]:
        """Read the last lines of a task's log. Raises ProxmoxError."""
        path = f"nodes/{upid.node}/tasks/{upid}/log"
        limit = {"start": 0, "limit": LOG_LIMIT}
        data = await self._read(f"log of task {upid}", path, limit, node=upid.node)
        return parse.log_lines(data)[-LOG_LINES:]

    async def find_task(
        self, node: str, vmid: int, task_type: str, since: datetime
    ) -> Upid | Unknown | None:
        """Look for our token's newest task of this type (`qmreset`) on a VM; None: there is none.

        `since` is compared with the node's clock, in whole seconds: leave room for the difference.
        """
        begun = int(since.timestamp())
        wanted: Parameters = {
            "vmid": vmid,
            "typefilter": task_type,
            "since": begun,
            "source": "all",
            "limit": TASKS_SEEN,
        }
        try:
            data = await self._read(
                f"tasks of VM {vmid}", f"nodes/{node}/tasks", wanted, node=node, lane=Lane.TASK
            )
            return parse.newest_task(
                data, vmid=vmid, task_type=task_type, user=self._settings.token_id, since=begun
            )
        except ProxmoxError as error:
            return Unknown(str(error))

    async def token_rights(self) -> TokenRights:
        """Ask what the token may do. Raises ProxmoxError."""
        return token_rights(await self._read("the token's permissions", "access/permissions"))

    async def _quorate(self, lane: Lane) -> bool | None:
        data = await self._read("the cluster's status", CLUSTER_STATUS, lane=lane)
        local = parse.local_node(data)
        if local is not None:
            self._order.learn(self._order.for_node(None)[0], local)
        return parse.quorate(data)

    async def _version(self, lane: Lane) -> str:
        return parse.version(await self._read("version", "version", lane=lane))

    async def _optional(
        self, name: str, read: Callable[[], Awaitable[Value]], unreadable: dict[str, str]
    ) -> Value | None:
        """Read what a verdict can do without; note why where it cannot be read."""
        try:
            return await read()
        except ProxmoxError as error:
            unreadable[name] = str(error)
            return None

    async def _read(
        self,
        question: str,
        path: str,
        parameters: Parameters | None = None,
        *,
        node: str | None = None,
        lane: Lane = Lane.SWEEP,
    ) -> object:
        """Ask one endpoint after the other; only the lack of an answer goes on to the next."""
        failures: list[ProxmoxError] = []
        for endpoint in self._order.for_node(node):
            try:
                await self._admit(endpoint, lane)
                with timed(self._note, path):
                    data = await self._wire.get(endpoint, path, parameters or {}, lane)
            except ProxmoxUnreachable as stranger:
                failures.append(stranger)
            except WireError as error:
                failure = translated(error, f"{question}, asked at {endpoint}")
                failure.__cause__ = error
                if not isinstance(failure, ProxmoxUnreachable | ProxmoxGarbage):
                    raise failure from error
                failures.append(failure)
            else:
                self._order.answered(endpoint)
                return data
        raise _summed_up(failures)

    async def _send(
        self, post: Callable[[str], Awaitable[object]], path: str, node: str, lane: Lane
    ) -> object:
        """Post once; the next endpoint is tried only while no connection has come about."""
        failure = WireFailure("no endpoint is known", was_sent=False)
        for endpoint in self._order.for_node(node):
            try:
                await self._admit(endpoint, lane)
            except (ProxmoxUnreachable, WireFailure, WireGarbage) as error:
                failure = WireFailure(str(error), was_sent=False)
                continue
            try:
                with timed(self._note, path):
                    return await post(endpoint)
            except WireFailure as error:
                if error.was_sent:
                    raise
                failure = error
        raise failure

    async def _admit(self, endpoint: str, lane: Lane) -> None:
        """Have an endpoint say of which cluster it is, before it is used for the first time.

        Raises WireError where it does not answer, ProxmoxUnreachable where it is another's.
        """
        if self._kinship.is_asked_for(endpoint):
            try:
                with timed(self._note, CLUSTER_STATUS):
                    data = await self._wire.get(endpoint, CLUSTER_STATUS, {}, lane)
                self._kinship.learn(endpoint, parse.family(data))
            except WireRefusal as error:
                if error.status != HTTPStatus.FORBIDDEN:
                    raise
                self._kinship.learn(endpoint, None)
            except ProxmoxGarbage as error:
                raise WireGarbage(str(error)) from error
        objection = self._kinship.objection(endpoint)
        if objection is not None:
            raise ProxmoxUnreachable(objection)


def _summed_up(failures: list[ProxmoxError]) -> ProxmoxError:
    """Make one error of what each endpoint said; that a node is away tells the most."""
    chosen = next((one for one in failures if isinstance(one, ProxmoxNodeUnreachable)), failures[0])
    summary = type(chosen)("; ".join(str(one) for one in failures), status=chosen.status)
    summary.__cause__ = chosen.__cause__
    return summary
