"""`POST /api/health/report`, ahead of FastAPI's machinery: key, bytes, VM, commit, answer.

Each step raises what is wrong; answers.py has the words. A 200 means committed.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from defib_api.answers import Answer
from defib_api.ingest import answers
from defib_api.ingest.backlog import Outcome
from defib_api.ingest.belonging import Refused, identity_of
from defib_api.ingest.body import TOO_LARGE, ClientGone, TooLarge, read_body, send_and_linger
from defib_api.ingest.explain import explain
from defib_api.ingest.registered import Registered
from defib_api.ingest.rejections import BY_STATUS, RETIRED_KEY, Rejections
from defib_api.ingest.report import Malformed, Report, agent_time_of, decode, whole
from defib_api.ingest.writer import Writer
from defib_api.keys import KeyTable
from defib_core.store.heartbeats import Heartbeat
from defib_core.store.tokens import KnownToken, TokenKind

PATH = "/api/health/report"
KEY_HEADER = b"x-api-key"
DEFAULT_STATUS = "running"
FORBIDDEN = 403

JSON_TYPE, UTF_8 = b"application/json", frozenset({b"charset=utf-8", b'charset="utf-8"'})


class IngestFirst:
    """The ASGI application: takes the reports, and passes everything else on."""

    def __init__(
        self,
        app: ASGIApp,
        keys: KeyTable,
        known: Registered,
        writer: Writer,
        rejections: Rejections,
        *,
        shared_keys: bool = True,
    ) -> None:
        self._app = app
        self._keys = keys
        self._known = known
        self._writer = writer
        self._rejections = rejections
        self._shared_keys = shared_keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._answer(scope, receive)
        except ClientGone:
            return
        except TooLarge:
            await send_and_linger(TOO_LARGE, receive, send)
            return
        await answer.send(send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        try:
            token = await self._authenticate(scope, receive)
            body = await read_body(scope, receive)
            return await self._judge(token, body)
        except (ClientGone, TooLarge):
            raise
        except Refused as refused:
            return refused.answer
        except Exception as error:  # noqa: BLE001 - the outermost edge; all of it is answered
            return answers.answer_to(error)

    async def _judge(self, token: KnownToken, body: bytes) -> Answer:
        """Take a report; one that is refused or shed is a sign of life all the same."""
        try:
            answer = await self._take(token, body)
        except Refused as refused:
            answer = refused.answer
        except Exception as error:  # noqa: BLE001 - all of it is answered, and all of it is alive
            answer = answers.answer_to(error)
        if answer.status in BY_STATUS and token.cluster_id is not None:
            # Under another VM's token the report's own word says whose sign of life it is.
            vmid = token.bound.vmid if token.bound and answer.status != FORBIDDEN else None
            self._rejections.note(token.cluster_id, body, BY_STATUS[answer.status], vmid)
        return answer

    async def _authenticate(self, scope: Scope, receive: Receive) -> KnownToken:
        key = content_type = b""
        for name, value in scope["headers"]:
            if name == KEY_HEADER:
                key = value.strip()
            elif name == b"content-type":
                content_type = value
        if not key:
            raise Refused(answers.NO_KEY)
        token = await self._keys.find(key)
        if token is None:
            was = self._rejections.retired(key)
            if was is not None:
                body = await read_body(scope, receive)
                self._rejections.note(was.cluster_id, body, RETIRED_KEY, was.vmid)
            raise Refused(answers.WRONG_KEY)
        if token.kind is not TokenKind.AGENT:
            raise Refused(answers.NOT_AN_AGENT_KEY)
        if content_type != JSON_TYPE and not _is_json(content_type):
            raise Refused(answers.NOT_JSON)
        return token

    async def _take(self, token: KnownToken, body: bytes) -> Answer:
        try:
            report = decode(body)
        except Malformed:
            return answers.invalid(explain(body))
        if token.bound is None and not self._shared_keys:
            raise Refused(answers.SHARED_OFF)
        said = await identity_of(self._known, token, report)
        vm_id = await self._known.vm_id_of(said)
        if token.bound is not None and token.bound.vmid is None:
            await self._known.bind(token.bound.token_id, vm_id)
        outcome = await self._writer.store(_heartbeat(vm_id, report))
        if outcome is Outcome.MISSING:
            # Somebody removed the VM since this process learnt of it.
            vm_id = await self._known.register(said)
            outcome = await self._writer.store(_heartbeat(vm_id, report))
        return answers.answer_of(outcome, report.hostname)


def _is_json(content_type: bytes) -> bool:
    kind, *parameters = (part.strip().lower() for part in content_type.split(b";"))
    return kind == JSON_TYPE and all(one in UTF_8 for one in parameters if one)


def _heartbeat(vm_id: int, report: Report) -> Heartbeat:
    return Heartbeat(
        vm_id=vm_id,
        status=report.status or DEFAULT_STATUS,
        cpu=round(report.cpu_usage, 2),
        ram=round(report.ram_usage),
        ram_total=round(report.ram_total),
        disk=whole(report.disk_usage),
        disk_total=whole(report.disk_total),
        uptime=whole(report.uptime),
        boot_id=report.boot_id,
        agent_time=agent_time_of(report.timestamp),
    )
