"""Holds a server to the protocol: sends it every request of the fixtures, and compares.

It stores reports of one VM on that server, which should be made for it. The key goes into one
header and is shown nowhere.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from defib_dev.agent_check.findings import Finding, Verdict, finding
from defib_dev.agent_check.fixtures import Request

WRONG_KEY = "this-key-was-never-given-out"
TOO_MANY = 429
WAITS_MOST, TRIES = 60, 5


class ServerAway(Exception):
    """The server cannot be asked; the text says why."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer."""

    status: int
    body: Any
    """Its JSON; None where it is none."""
    retry_after: str | None


def check(
    http: httpx.Client,
    key: str,
    requests: Sequence[Request],
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Finding]:
    """Send each request and judge its answer, one after the other; raises ServerAway."""
    for request in requests:
        said = _ask(http, key, request, wait)
        if said.status == TOO_MANY:
            yield Finding(request.name, Verdict.NOT_SEEN, "the server went on answering 429")
        else:
            yield finding(request.name, list(troubles(request, said)))


def _ask(http: httpx.Client, key: str, request: Request, wait: Callable[[float], None]) -> Said:
    """Send it, and again after the wait that a 429 asks for: one VM may not report at any rate."""
    keys = {"own": {"X-API-Key": key}, "wrong": {"X-API-Key": WRONG_KEY}, "none": {}}
    headers = {**request.headers, **keys[request.key]}
    said = _send(http, request, headers)
    for _ in range(TRIES):
        if said.status != TOO_MANY:
            break
        after = said.retry_after or ""
        wait(min(WAITS_MOST, int(after)) if after.isdigit() else WAITS_MOST)
        said = _send(http, request, headers)
    return said


def _send(http: httpx.Client, request: Request, headers: dict[str, str]) -> Said:
    try:
        answer = http.post(request.path, content=request.body, headers=headers)
    except httpx.HTTPError as error:
        raise ServerAway(f"{request.name}: {str(error) or type(error).__name__}") from error
    try:
        body = answer.json()
    except ValueError:
        body = None
    return Said(answer.status_code, body, answer.headers.get("retry-after"))


def troubles(request: Request, said: Said) -> Iterator[str]:
    """Say how an answer is not as the protocol has it. Pure."""
    if said.status != request.status:
        shown = json.dumps(said.body)[:200]
        yield f"answered {said.status}, not {request.status}: {shown}"
        return
    body = said.body if isinstance(said.body, dict) else {}
    is_good = said.status == 200  # noqa: PLR2004 - HTTP's own word for it
    if body.get("success") is not is_good:
        yield f"`success` is {json.dumps(body.get('success'))}, not {json.dumps(is_good)}"
    if not is_good and not body.get("message"):
        yield "there is no `message` that says what is wrong"
    yield from _fields(request, body)
    yield from _counts(request, body)


def _fields(request: Request, body: dict[str, Any]) -> Iterator[str]:
    named = [one.get("field") for one in body.get("errors") or [] if isinstance(one, dict)]
    missing = [field for field in request.fields if field not in named]
    if missing:
        yield f"`errors` does not name {', '.join(missing)}, but {json.dumps(named)}"


def _counts(request: Request, body: dict[str, Any]) -> Iterator[str]:
    if request.accepted is None:
        return
    if body.get("accepted") != request.accepted:
        yield f"`accepted` is {body.get('accepted')}, not {request.accepted}"
    rejected = [[one.get("index"), one.get("status")] for one in body.get("rejected") or []]
    if rejected != [list(one) for one in request.rejected]:
        yield f"`rejected` is {rejected}, not {request.rejected}"
