"""Sends reports to the API over HTTP and counts what became of them."""

from dataclasses import asdict, dataclass, field

import aiohttp
import msgspec
import structlog

from defib_dev.fleet_sim.fleet import Report

log = structlog.get_logger(__name__)

PATH = "/api/health/report"
TIMEOUT = aiohttp.ClientTimeout(total=10)
SHOWN = 300


@dataclass(slots=True)
class Counters:
    """Since the start. `skipped`: not sent, because the one before was still under way."""

    sent: int = 0
    accepted: int = 0
    rejected: int = 0
    unreachable: int = 0
    skipped: int = 0

    def as_fields(self) -> dict[str, int]:
        """Give them as fields of a log line."""
        return asdict(self)


@dataclass(slots=True)
class Sender:
    """One API, one key. A trouble is logged when it begins, when it changes and when it is over."""

    session: aiohttp.ClientSession
    api: str
    key: str
    counters: Counters = field(default_factory=Counters)
    _trouble: object = None

    async def send(self, report: Report) -> None:
        """Send one report; never raises for what the network or the API does."""
        self.counters.sent += 1
        headers = {"Content-Type": "application/json", "X-API-Key": self.key}
        body = msgspec.json.encode(report)
        try:
            async with self.session.post(
                self.api + PATH, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False
            ) as answer:
                said = await answer.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.counters.unreachable += 1
            self._note(type(error), "fleet.api_unreachable", error=str(error) or repr(error))
            return
        self._judge(answer.status, said)

    def _judge(self, status: int, said: str) -> None:
        if status == 200:  # noqa: PLR2004 - HTTP's own word for it
            self.counters.accepted += 1
            self._note(None, "fleet.reports_accepted")
        else:
            self.counters.rejected += 1
            self._note(status, "fleet.reports_rejected", status=status, said=said[:SHOWN])

    def _note(self, trouble: object, event: str, **fields: object) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            say = log.info if trouble is None else log.warning
            say(event, api=self.api, **fields)
