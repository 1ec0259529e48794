"""The control interface: plain HTTP and JSON on loopback, to look behind the simulated cluster.

Tests, demonstrations and the fleet simulator use it; Defib itself must never. Described in
docs/proxmox.md.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime

from aiohttp import web

from defib_dev.proxmox_sim.changes import change_guest, create_guest, read_all, seconds, truth, word
from defib_dev.proxmox_sim.faults import ApiMode, PostFault
from defib_dev.proxmox_sim.guest import RealMachineError
from defib_dev.proxmox_sim.model import Datacenter, ModelError
from defib_dev.proxmox_sim.view import guest_view, state_view

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Control:
    """Handlers over one cluster. `mode_changed` is awaited after the API's mode was set."""

    def __init__(
        self,
        dc: Datacenter,
        clock: Callable[[], datetime],
        mode_changed: Callable[[], Awaitable[None]],
    ) -> None:
        self._dc = dc
        self._clock = clock
        self._mode_changed = mode_changed

    def app(self) -> web.Application:
        """Make the application."""
        app = web.Application(middlewares=[_explain])
        app.add_routes(
            [
                web.get("/control/state", self._state),
                web.get("/control/guests", self._guests),
                web.post("/control/guests", self._create),
                web.patch("/control/guests/{vmid}", self._change),
                web.patch("/control/nodes/{name}", self._node),
                web.patch("/control/api", self._api),
                web.post("/control/next-post", self._next_post),
            ]
        )
        return app

    async def _state(self, _: web.Request) -> web.Response:
        return web.json_response(state_view(self._dc, self._clock()))

    async def _guests(self, request: web.Request) -> web.Response:
        now = self._clock()
        self._dc.advance(now)
        shown = [guest_view(self._dc, guest, now) for guest in self._dc.guests.values()]
        if "reporting" in request.query:
            shown = [one for one in shown if one["reporting"]]
        return web.json_response({"guests": shown})

    async def _create(self, request: web.Request) -> web.Response:
        now = self._clock()
        guest = create_guest(self._dc, await _body(request), now)
        return web.json_response(guest_view(self._dc, guest, now), status=201)

    async def _change(self, request: web.Request) -> web.Response:
        vmid = request.match_info["vmid"]
        if not vmid.isdecimal():
            raise ModelError(f"{vmid!r} is no vmid")
        now = self._clock()
        change_guest(self._dc, int(vmid), await _body(request), now)
        guest = self._dc.guests.get(int(vmid))
        return web.json_response({} if guest is None else guest_view(self._dc, guest, now))

    async def _node(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        given = read_all({"online": truth}, await _body(request))
        if "online" in given:
            self._dc.set_online(name, online=given["online"], now=self._clock())
        return web.json_response({"name": name, "online": self._dc.node(name).online})

    async def _api(self, request: web.Request) -> web.Response:
        given = read_all(API_KEYS, await _body(request))
        self._dc.mode = given.pop("mode", self._dc.mode)
        for key, value in given.items():
            setattr(self._dc.timing, TIMING_FIELDS[key], value)
        await self._mode_changed()
        return web.json_response(state_view(self._dc, self._clock())["api"])

    async def _next_post(self, request: web.Request) -> web.Response:
        given = read_all({"outcome": word(PostFault)}, await _body(request))
        if "outcome" not in given:
            raise ModelError("outcome is missing")
        self._dc.next_posts.append(given["outcome"])
        return web.json_response({"waiting": [fault.value for fault in self._dc.next_posts]})


def _milliseconds(value: object) -> object:
    return seconds(value) / 1000


API_KEYS: Mapping[str, Callable[[object], object]] = {
    "mode": word(ApiMode),
    "latencyMs": _milliseconds,
    "taskSeconds": seconds,
    "broadcastLagSeconds": seconds,
    "haDelaySeconds": seconds,
}
TIMING_FIELDS = {
    "latencyMs": "latency",
    "taskSeconds": "task",
    "broadcastLagSeconds": "broadcast_lag",
    "haDelaySeconds": "ha_delay",
}


async def _body(request: web.Request) -> Mapping[str, object]:
    try:
        body = await request.json()
    except json.JSONDecodeError as error:
        raise ModelError(f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise ModelError("the body must be a JSON object")
    return body


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer 400 with the reason where the model refuses, and 409 where a machine is real."""
    try:
        return await handler(request)
    except ModelError as error:
        return web.json_response({"error": str(error)}, status=400)
    except RealMachineError as error:
        return web.json_response({"error": str(error)}, status=409)
