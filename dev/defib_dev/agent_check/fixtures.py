"""The conformance fixtures of `agents/conformance`, read as values: the protocol as data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from defib_api import agent_files

REPORTS, BATCHES = "conformance/reports.json", "conformance/batches.json"
ANSWERS, FIELDS = "conformance/answers.json", "conformance/fields.json"
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a server, and what it has to answer."""

    name: str
    path: str
    body: bytes
    headers: Mapping[str, str]
    key: str
    """own, none or wrong."""
    status: int
    fields: Sequence[str] = ()
    """Those that `errors` has to name."""
    accepted: int | None = None
    rejected: Sequence[Sequence[int]] = ()


@dataclass(frozen=True, slots=True)
class AnswerCase:
    """An answer, and how long the agent waits after it."""

    name: str
    status: int
    body: str
    retry_after: str | None
    failures: int
    then: str
    wait: tuple[int, int]


def load(path: str) -> Any:  # noqa: ANN401 - JSON
    """Read a fixture. Raises AgentFilesMissing."""
    return json.loads(agent_files.text_of(path))


def requests(who: Mapping[str, object]) -> list[Request]:
    """Every request of reports.json and batches.json, from the VM that `who` says (vmid, ...)."""
    told = load(REPORTS)
    valid = {**told["valid"], **who}
    return [
        *(_report(case, valid) for case in told["cases"]),
        *(_batch(case, valid) for case in load(BATCHES)["cases"]),
    ]


def answer_cases() -> list[AnswerCase]:
    """Every case of answers.json."""
    return [
        AnswerCase(
            name=case["name"],
            status=case["status"],
            body=case["body"],
            retry_after=case.get("retryAfter"),
            failures=case["failures"],
            then=case["then"],
            wait=(case["wait"][0], case["wait"][1]),
        )
        for case in load(ANSWERS)["cases"]
    ]


def _report(case: Mapping[str, Any], valid: Mapping[str, object]) -> Request:
    body = case.get("raw")
    if body is None:
        body = json.dumps(changed(valid, case.get("change", {}))) + " " * case.get("padding", 0)
    return Request(
        name=case["name"],
        path="/api/health/report",
        body=body.encode(),
        headers={**JSON, **case.get("headers", {})},
        key=case.get("key", "own"),
        status=case["status"],
        fields=case.get("fields", ()),
    )


def _batch(case: Mapping[str, Any], valid: Mapping[str, object]) -> Request:
    body = case.get("raw")
    if body is None:
        reports = [changed(valid, change) for change in case["reports"]]
        body = json.dumps({"reports": reports * case.get("times", 1)})
    return Request(
        name=f"batch: {case['name']}",
        path="/api/health/reports",
        body=body.encode(),
        headers=JSON,
        key="own",
        status=case["status"],
        accepted=case.get("accepted"),
        rejected=case.get("rejected", ()),
    )


def changed(valid: Mapping[str, object], change: Mapping[str, object]) -> dict[str, object]:
    """Put a change into a report; what is null is left out."""
    return {name: value for name, value in {**valid, **change}.items() if value is not None}
