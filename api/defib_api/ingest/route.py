"""`POST /api/health/report` and `/reports`, ahead of FastAPI: key, bytes, VM, commit, answer.

Each step raises what is wrong; answers.py has the words. A 200 means committed.
"""

from collections.abc import Coroutine
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from defib_api.answers import Answer
from defib_api.ingest import answers
from defib_api.ingest.backlog import Outcome
from defib_api.ingest.batches import Batches, Sender
from defib_api.ingest.belonging import Refused, identity_of, row_at_once
from defib_api.ingest.body import (
    JSON_TYPE,
    ONE_BATCH,
    ClientGone,
    TooLarge,
    is_json,
    read_body,
    send_and_linger,
)
from defib_api.ingest.counts import Counts
from defib_api.ingest.explain import explain
from defib_api.ingest.flood import Flood, TooOften
from defib_api.ingest.registered import Registered
from defib_api.ingest.rejections import BY_STATUS, Rejections
from defib_api.ingest.relays import Relays
from defib_api.ingest.report import Malformed, Report, decode
from defib_api.ingest.samples import heartbeat_of, is_without_its_clock
from defib_api.ingest.writer import Writer
from defib_api.keys import KeyTable
from defib_api.protocol import connection_of
from defib_core.store.tokens import KnownToken, TokenKind

PATH, BATCH_PATH = "/api/health/report", "/api/health/reports"
KEY_HEADER, RELAY_HEADER = b"x-api-key", b"x-relay-token"
HUNG_UP = 0
STORED = 200


class IngestFirst:
    """The ASGI application: takes the reports, and passes everything else on."""

    def __init__(
        self,
        app: ASGIApp,
        keys: KeyTable[KnownToken],
        known: Registered,
        writer: Writer,
        rejections: Rejections,
        *,
        shared_keys: bool = True,
        batches: Batches,
        relays: Relays,
        flood: Flood,
        counts: Counts,
    ) -> None:
        self._app = app
        self._keys = keys
        self._known = known
        self._writer = writer
        self._rejections = rejections
        self._shared_keys = shared_keys
        self._batches = batches
        self._relays = relays
        self._flood = flood
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope["path"] if scope["type"] == "http" and scope["method"] == "POST" else None
        if path == PATH:
            status = await self._serve(self._single(scope, receive), scope, receive, send)
            self._counts.answered[status] += 1
        elif path == BATCH_PATH:
            status = await self._serve(self._batch(scope, receive), scope, receive, send)
            self._counts.batches[status] += 1
        else:
            await self._app(scope, receive, send)

    async def _serve(
        self, work: Coroutine[Any, Any, Answer], scope: Scope, receive: Receive, send: Send
    ) -> int:
        """Answer with what the work comes to; return the status."""
        try:
            answer = await work
        except ClientGone:
            return HUNG_UP
        except TooLarge as too_large:
            await send_and_linger(too_large.answer, receive, send)
            return too_large.answer.status
        except Refused as refused:
            answer = refused.answer
        except Exception as error:  # noqa: BLE001 - the outermost edge; all of it is answered
            answer = answers.answer_to(error)
        connection = connection_of(scope)
        if connection is None or answer.status != STORED or not connection.write(answer.whole):
            await answer.send(send)
        return answer.status

    async def _single(self, scope: Scope, receive: Receive) -> Answer:
        token = await self._authenticate(scope, receive)
        return await self._judge(token, await read_body(scope, receive))

    async def _batch(self, scope: Scope, receive: Receive) -> Answer:
        secret = next((value for name, value in scope["headers"] if name == RELAY_HEADER), None)
        if secret is None:
            sender = Sender(await self._authenticate(scope, receive), None)
        else:
            relay = await self._relays.keys.find(secret.strip())
            if relay is None:
                raise Refused(answers.NOT_A_RELAY)
            sender = Sender(None, relay)
        return await self._batches.take(sender, await read_body(scope, receive, ONE_BATCH))

    async def _judge(self, token: KnownToken, body: bytes) -> Answer:
        """Take a report; one that is refused or shed is a sign of life all the same."""
        try:
            answer = await self._take(token, body)
        except Refused as refused:
            answer = refused.answer
        except Exception as error:  # noqa: BLE001 - all of it is answered, and all of it is alive
            answer = answers.answer_to(error)
        if answer.status in BY_STATUS and token.cluster_id is not None:
            self._rejections.note_refused(token, answer.status, body)
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
                self._rejections.note_retired(was, body)
            raise Refused(answers.WRONG_KEY)
        if token.kind is not TokenKind.AGENT:
            raise Refused(answers.NOT_AN_AGENT_KEY)
        if content_type != JSON_TYPE and not is_json(content_type):
            raise Refused(answers.NOT_JSON)
        return token

    async def _take(self, token: KnownToken, body: bytes) -> Answer:
        try:
            report = decode(body)
        except Malformed:
            return answers.invalid(explain(body))
        if token.bound is None and not self._shared_keys:
            raise Refused(answers.SHARED_OFF)
        vm_id = row_at_once(self._known, token, report)
        if vm_id is None:
            vm_id = await self._row_of(token, report)
        self._admit(vm_id)
        heartbeat = heartbeat_of(vm_id, report)
        self._counts.timestamps_dropped += is_without_its_clock(heartbeat, report)
        outcome = await self._writer.store(heartbeat)
        if outcome is Outcome.MISSING:
            # Somebody removed the VM since this process learnt of it.
            said = await identity_of(self._known, token, report)
            vm_id = await self._known.register(said)
            outcome = await self._writer.store(heartbeat_of(vm_id, report))
        return answers.answer_of(outcome, report.hostname)

    async def _row_of(self, token: KnownToken, report: Report) -> int:
        """Find or create the VM, and keep whose the token is."""
        vm_id = await self._known.vm_id_of(await identity_of(self._known, token, report))
        if token.bound is not None and token.bound.vmid is None:
            await self._known.bind(token.bound.token_id, vm_id)
        return vm_id

    def _admit(self, vm_id: int) -> None:
        try:
            self._flood.admit(vm_id)
        except TooOften as flood:
            self._counts.floods += 1
            raise Refused(answers.flooding(flood.seconds)) from flood
