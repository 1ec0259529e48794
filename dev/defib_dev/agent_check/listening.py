"""A server that leads an agent through good and bad times, and keeps what the agent did.

Which answer comes when is a pure script; this module's server only speaks HTTP.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import web

from defib_dev.agent_check.record import BATCH, REPORT, Exchange
from defib_dev.agent_check.rules import Expected

ACCEPTED_REPORTS, RECOVERED_REPORTS = 4, 3
OUTAGE_INTERVALS = 3.5
ELSEWHERE = "/elsewhere"
STEPS = {
    "accepted": "all is well",
    "outage": "the server answers 500",
    "back": "it is back, and takes what was kept",
    "busy": "a 503 with Retry-After",
    "redirect": "a redirect",
    "refused": "the key is refused; this takes a minute",
    "stop": "now stop the agent in order (SIGTERM, systemctl stop)",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to one request."""

    step: str
    status: int
    body: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Script:
    """Which answer comes next; `say` is told of each new step."""

    expected: Expected
    say: Callable[[str], None] = lambda _: None
    step: str = ""
    _in_step: int = 0
    _began: float = 0.0
    is_over: bool = False

    def answer(self, path: str, report: Mapping[str, object], now: float) -> Answer:
        """Answer a request. `now` is monotonic."""
        is_report = path == REPORT
        if self.step == "back" and path == BATCH:
            self._in_step = RECOVERED_REPORTS  # seen: go on with the next report
        elif is_report:
            self._advance(now)
            self._in_step += 1
        if report.get("status") == "stopping":
            self.is_over = True
            self.step = "stop"
        return self._answer(path, report)

    def _advance(self, now: float) -> None:
        is_done = {
            "": True,
            "accepted": self._in_step >= ACCEPTED_REPORTS,
            "outage": now - self._began >= OUTAGE_INTERVALS * self.expected.interval,
            "back": self._in_step >= RECOVERED_REPORTS,
            "stop": False,
        }
        if not is_done.get(self.step, self._in_step >= 1):
            return
        order = [one for one in STEPS if one != "refused" or not self.expected.quick]
        self.step = order[order.index(self.step) + 1 if self.step else 0]
        self._in_step, self._began = 0, now
        self.say(STEPS[self.step])

    def _answer(self, path: str, report: Mapping[str, object]) -> Answer:
        if path not in {REPORT, BATCH}:
            return Answer(self.step, 404, _failure("not found"))
        after = {"Retry-After": f"{self.expected.retry_after:g}"}
        bad = {
            "outage": Answer("outage", 500, _failure("broken, for a while")),
            "busy": Answer("busy", 503, _failure("busy"), after),
            "redirect": Answer("redirect", 307, _failure("elsewhere"), {"Location": ELSEWHERE}),
            "refused": Answer("refused", 401, _failure("the key is unknown, expired or revoked")),
        }
        return bad.get(self.step) or self._thanks(path, report)

    def _thanks(self, path: str, report: Mapping[str, object]) -> Answer:
        reports = report.get("reports")
        if path == BATCH and isinstance(reports, list):
            taken = {"success": True, "accepted": len(reports), "rejected": []}
            return Answer(self.step, 200, taken)
        name = report.get("hostname")
        return Answer(
            self.step, 200, {"success": True, "message": f"Health report received for {name}"}
        )


def _failure(message: str) -> Mapping[str, object]:
    return {"success": False, "message": message}


class Listener:
    """The server. `seen` is what the agent did, in order."""

    def __init__(self, script: Script, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._script = script
        self._monotonic = monotonic
        self.seen: list[Exchange] = []
        self.over = asyncio.Event()

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one request as the script has it."""
        came = self._monotonic()
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        one = Exchange("", request.path, headers, body, came, came, 0)
        answer = self._script.answer(request.path, one.json, came)
        self.seen.append(
            Exchange(
                answer.step, request.path, headers, body, came, self._monotonic(), answer.status
            )
        )
        if self._script.is_over:
            self.over.set()
        return web.Response(
            status=answer.status,
            text=json.dumps(answer.body),
            headers=answer.headers,
            content_type="application/json",
        )


async def listen(
    expected: Expected,
    port: int,
    *,
    say: Callable[[str], None],
    started: Callable[[int], None],
    patience: float,
) -> list[Exchange]:
    """Listen on loopback until the agent has said goodbye, or for `patience` seconds."""
    listener = Listener(Script(expected, say))
    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", listener.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        started(runner.addresses[0][1])
        try:
            async with asyncio.timeout(patience):
                await listener.over.wait()
        except TimeoutError:
            say("the agent did not say goodbye in time")
        return listener.seen
    finally:
        await runner.cleanup()
