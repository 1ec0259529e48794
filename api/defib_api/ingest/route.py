"""`POST /api/health/report`, ahead of FastAPI's machinery: key, bytes, VM, commit, answer.

Each step raises what is wrong; answers.py has the words. A 200 means committed.
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from defib_api.answers import Answer
from defib_api.ingest import answers
from defib_api.ingest.backlog import Outcome
from defib_api.ingest.body import TOO_LARGE, ClientGone, TooLarge, read_body, send_and_linger
from defib_api.ingest.explain import FieldError, explain
from defib_api.ingest.registered import Registered
from defib_api.ingest.rejections import BY_STATUS, RETIRED_KEY, Rejections
from defib_api.ingest.report import Malformed, Report, agent_time_of, decode, uuid_of, whole
from defib_api.ingest.writer import Writer
from defib_api.keys import KeyTable
from defib_core.store.heartbeats import Heartbeat
from defib_core.store.registry import ReportedIdentity
from defib_core.store.tokens import KnownToken, TokenKind

PATH = "/api/health/report"
KEY_HEADER = b"x-api-key"
DEFAULT_STATUS = "running"

JSON_TYPE, UTF_8 = b"application/json", frozenset({b"charset=utf-8", b'charset="utf-8"'})


class Refused(Exception):
    """The report is answered with something other than a 200."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class IngestFirst:
    """The ASGI application: takes the reports, and passes everything else on."""

    def __init__(
        self,
        app: ASGIApp,
        keys: KeyTable,
        known: Registered,
        writer: Writer,
        rejections: Rejections,
    ) -> None:
        self._app = app
        self._keys = keys
        self._known = known
        self._writer = writer
        self._rejections = rejections

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
            self._rejections.note(token.cluster_id, body, BY_STATUS[answer.status])
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
            cluster_id = self._rejections.cluster_of_retired(key)
            if cluster_id is not None:
                self._rejections.note(cluster_id, await read_body(scope, receive), RETIRED_KEY)
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
        assert token.cluster_id is not None
        said = await self._identity(token.cluster_id, report)
        vm_id = await self._known.vm_id_of(said)
        outcome = await self._writer.store(_heartbeat(vm_id, report))
        if outcome is Outcome.MISSING:
            # Somebody removed the VM since this process learnt of it.
            vm_id = await self._known.register(said)
            outcome = await self._writer.store(_heartbeat(vm_id, report))
        return answers.answer_of(outcome, report.hostname)

    async def _identity(self, cluster_id: int, report: Report) -> ReportedIdentity:
        uuid = uuid_of(report)
        vmid = report.vmid
        if vmid is None:
            if uuid is None:
                raise Refused(answers.invalid([FieldError("vmid", answers.NO_VMID_NO_UUID)]))
            vmid = await self._known.vmid_of(cluster_id, uuid)
            if vmid is None:
                raise Refused(answers.invalid([FieldError("vmid", answers.NO_VMID)]))
        return ReportedIdentity(
            cluster_id=cluster_id,
            vmid=int(vmid),
            hostname=report.hostname,
            node=report.node or None,
            smbios_uuid=uuid,
            agent_version=report.agent_version,
        )


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
