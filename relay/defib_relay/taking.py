"""The relay's HTTP: reports from agents, by the API's own rules of form, and two probes.

A 200 here means: on this relay's disk, and on its way. It never means committed; the body says so.
What is refused for its form is forwarded all the same where it says which VM it is from: it is a
sign of life, and only the API can judge it.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from defib_api.answers import Answer, failure, retry_after
from defib_api.ingest.batch import BatchedReport, Unreadable, decode_batch, whole_batch
from defib_api.ingest.body import (
    JSON_TYPE,
    MOST_BYTES,
    ONE_BATCH,
    TOO_SLOW,
    ClientGone,
    TooLarge,
    TooSlow,
    is_json,
    read_body,
    send_and_linger,
)
from defib_api.ingest.explain import FieldError, explain
from defib_api.ingest.flood import Flood, TooOften
from defib_api.ingest.report import Malformed, Report, decode
from defib_relay.forwarding import Forwarding
from defib_relay.gathering import DiskFails, Gathering, TooMuch
from defib_relay.kept import Report as Raw
from defib_relay.proven import Proven
from defib_relay.refusals import Refusals
from defib_relay.spool import Spool

log = structlog.get_logger(__name__)

NOT_FOUND = failure(404, "a relay takes reports only; ask the API for everything else")
NO_KEY = failure(401, "the X-API-Key header is missing; send the agent's key")
NOT_JSON = failure(415, "send the report as JSON in UTF-8, with Content-Type: application/json")
NOT_KEPT = failure(
    503, "the report was not kept: this relay's disk takes nothing", headers=retry_after(5)
)
BUSY = failure(
    503,
    "the report was not kept: more comes in than this relay takes, or than it keeps under keys that"
    " the API has not taken yet",
    headers=retry_after(2),
)


class Refused(Exception):
    """The request is answered with something other than a 200."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Taking:
    """The ASGI application."""

    def __init__(
        self,
        spool: Spool,
        gathering: Gathering,
        forwarding: Forwarding,
        *,
        refusals: Refusals,
        proven: Proven,
        flood: Flood,
        lifespan: ASGIApp,
    ) -> None:
        self._spool = spool
        self._gathering = gathering
        self._forwarding = forwarding
        self._refusals = refusals
        self._proven = proven
        self._flood = flood
        self._lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        try:
            answer = await self._answer(scope, receive)
        except ClientGone:
            return
        except TooLarge as too_large:
            await send_and_linger(too_large.answer, receive, send)
            return
        except TooSlow:
            answer = TOO_SLOW
        except Refused as refused:
            answer = refused.answer
        except TooMuch:
            answer = BUSY
        except DiskFails:
            answer = NOT_KEPT
        await answer.send(send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        match scope["method"], scope["path"]:
            case "GET", "/livez":
                return Answer(200, b'{"status":"ok"}')
            case "GET", "/readyz":
                return self._readiness()
            case "POST", "/api/health/report":
                return await self._one(_key_of(scope), await read_body(scope, receive))
            case "POST", "/api/health/reports":
                return await self._many(_key_of(scope), await read_body(scope, receive, ONE_BATCH))
            case _:
                return NOT_FOUND

    def _readiness(self) -> Answer:
        away, disk = self._forwarding.away, self._gathering.disk_error
        body = {
            "ready": disk is None,
            "disk": disk or "ok",
            "api": "ok" if away is None else f"away since {away.since:%Y-%m-%dT%H:%M:%SZ}",
            "why": None if away is None else away.why,
            "waiting": self._spool.waiting,
            "lost": self._spool.lost,
            "forwarded": self._forwarding.forwarded,
        }
        return Answer(200 if disk is None else 503, msgspec.json.encode(body))

    async def _one(self, key: str, body: bytes) -> Answer:
        try:
            report = decode(body)
        except Malformed:
            await self._keep_what_says_who(key, [body])
            return _invalid(explain(body))
        self._admit(key, report)
        await self._keep(key, [_with(body, keyDigest=key, ageSeconds=0)], len(body))
        why = self._refusals.why(key)
        if why is not None:
            return failure(401, why)
        said = f"Health report of {report.hostname} kept by this relay, on its way to Defib"
        return Answer(200, msgspec.json.encode({"success": True, "message": said, "relayed": True}))

    async def _many(self, key: str, body: bytes) -> Answer:
        try:
            batch = decode_batch(body)
        except Malformed as error:
            return _invalid(whole_batch(error))
        raws = [bytes(one) for one in msgspec.json.decode(body, type=_Raws).reports]
        kept: list[Raw] = []
        rejected: list[dict[str, object]] = []
        unreadable: list[bytes] = []
        for index, report in enumerate(batch.reports):
            try:
                if isinstance(report, Unreadable):
                    unreadable.append(report.raw)
                    raise Refused(_invalid(list(report.errors)))  # noqa: TRY301 - as any refusal
                self._admit(key, report)
            except Refused as refused:
                rejected.append(_rejection(index, refused.answer))
                continue
            kept.append(_with(raws[index], keyDigest=key, ageSeconds=report.age_seconds))
        if kept:
            await self._keep(key, kept, len(body))
        await self._keep_what_says_who(key, unreadable)
        why = self._refusals.why(key)
        if why is not None:
            return failure(401, why)
        said = {"success": True, "accepted": len(kept), "rejected": rejected, "relayed": True}
        return Answer(200, msgspec.json.encode(said))

    def _admit(self, key: str, report: Report) -> None:
        late = isinstance(report, BatchedReport) and report.age_seconds > 0
        who = (key, str(report.vmid or report.smbios_uuid or report.hostname))
        try:
            self._flood.admit(who, late=late)
        except TooOften as flood:
            raise Refused(
                failure(
                    429,
                    "the report was not kept: this VM sends far more reports than one agent does",
                    headers=retry_after(flood.seconds),
                )
            ) from flood

    async def _keep_what_says_who(self, key: str, bodies: Sequence[bytes]) -> None:
        """Keep what is no report and still says which VM it is from, a little of it."""
        for body in bodies:
            try:
                said = msgspec.json.decode(body)
                if not isinstance(said, dict) or len(body) > MOST_BYTES:
                    continue
                self._flood.admit((key, "refused", str(said.get("vmid"))))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TooOften):
                continue
            await self._keep(key, [{"ageSeconds": 0, **said, "keyDigest": key}], len(body))

    async def _keep(self, key: str, reports: Sequence[Raw], size: int) -> None:
        await self._gathering.keep(reports, size, proven=self._proven.knows(key))


class _Raws(msgspec.Struct):
    reports: list[msgspec.Raw]


def _with(raw: bytes, **more: Any) -> Raw:  # noqa: ANN401 - JSON
    report: Raw = msgspec.json.decode(raw)
    return {**report, **more}


def _key_of(scope: Scope) -> str:
    """The digest of the agent's key; the key itself goes no further than here."""
    key = content_type = b""
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            key = value.strip()
        elif name == b"content-type":
            content_type = value
    if not key:
        raise Refused(NO_KEY)
    if content_type != JSON_TYPE and not is_json(content_type):
        raise Refused(NOT_JSON)
    return hashlib.sha256(key).hexdigest()


def _invalid(errors: list[FieldError]) -> Answer:
    listed = [{"field": one.field, "message": one.message} for one in errors]
    return failure(
        400, f"the report was refused: {errors[0].field} {errors[0].message}", errors=listed
    )


def _rejection(index: int, answer: Answer) -> dict[str, object]:
    said = msgspec.json.decode(answer.body)
    return {"index": index, "status": answer.status, "message": said["message"]}
