"""The OpenAPI document: complete, with examples that are true, and equal to what is kept."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, TypeAdapter

from defib_api import enrolment_examples, examples, fleet_examples
from defib_api.app import dashboard_app
from defib_api.ingest.batch import BatchedReport
from defib_api.ingest.explain import EXPECTED
from defib_api.ingest.report import Report, decode
from defib_api.openapi import as_text, operations
from defib_api.schemas import (
    enrolment,
    failures,
    fleet,
    overview,
    past,
    probes,
    reports,
    resets,
    vms,
)
from support.running_api import RunningApi

KEPT = Path(__file__).parents[2] / "api" / "openapi.json"

APP = dashboard_app(None)
DOCUMENT: dict[str, Any] = APP.openapi()
OPERATIONS = list(operations(DOCUMENT))
BEFORE_ANYBODY_HAS_SIGNED_IN = "/api/sign-in"
NAMES = [operation["operationId"] for _, _, operation in OPERATIONS]


def test_the_kept_document_is_up_to_date() -> None:
    assert KEPT.read_text() == as_text(APP), (
        "api/openapi.json differs; run: defib api openapi --output api/openapi.json"
    )


def test_every_endpoint_of_the_seed_is_in_it() -> None:
    assert {(method, path) for path, method, _ in OPERATIONS} >= {
        ("post", "/api/health/report"),
        ("get", "/api/vms"),
        ("get", "/api/vms/{vm_id}"),
        ("get", "/api/vms/{vm_id}/metrics"),
        ("get", "/api/vms/{vm_id}/reset-history"),
        ("get", "/api/status"),
        ("post", "/api/vms/{vm_id}/reset"),
    }


@pytest.mark.parametrize(("path", "method", "operation"), OPERATIONS, ids=NAMES)
def test_an_operation_is_described_with_examples_and_failures(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    assert operation["tags"]
    assert operation["summary"]
    assert operation["description"]
    answers = operation["responses"]
    assert "422" not in answers
    assert "500" in answers
    for status, answer in answers.items():
        (content,) = answer["content"].values()
        assert "example" in content, status
        assert "schema" in content, status
        assert answer["description"], status
    if path.startswith("/api") and path != BEFORE_ANYBODY_HAS_SIGNED_IN:
        assert {"401", "503"} <= answers.keys()
        assert operation["security"]
    if method == "post":
        assert {"400", "413", "415"} <= answers.keys()


def test_operation_ids_are_unique() -> None:
    assert len(set(NAMES)) == len(NAMES)


def test_all_ways_to_authenticate_are_described() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert {(one["type"], one.get("name") or one["scheme"]) for one in schemes.values()} == {
        ("apiKey", "X-API-Key"),
        ("apiKey", "X-Enrolment-Token"),
        ("apiKey", "X-Relay-Token"),
        ("http", "bearer"),
    }
    by_name = {operation["operationId"]: operation for _, _, operation in OPERATIONS}
    assert by_name["report"]["security"] == [{"AgentKey": []}]
    assert by_name["listVms"]["security"] == [{"AdminToken": []}]
    assert "security" not in by_name["getLiveness"]


def test_the_report_has_an_example_that_is_accepted() -> None:
    body = DOCUMENT["paths"]["/api/health/report"]["post"]["requestBody"]
    assert body["required"] is True
    schema = DOCUMENT["components"]["schemas"]["HealthReport"]
    assert set(schema["required"]) == {"hostname", "cpuUsage", "ramUsage", "ramTotal"}
    assert decode(msgspec.json.encode(examples.REPORT)).hostname == "web-server-01"


@pytest.mark.parametrize(
    ("accepted", "described"),
    [(Report, reports.HealthReport), (BatchedReport, reports.BatchedReport)],
)
def test_the_described_report_is_the_accepted_report(
    accepted: type[Report], described: type[BaseModel]
) -> None:
    taken = {field.encode_name: field.required for field in msgspec.structs.fields(accepted)}
    assert taken == {
        field.alias or name: field.is_required() for name, field in described.model_fields.items()
    }
    assert set(taken) <= set(EXPECTED) | {"timestamp"}


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (reports.HealthReport, examples.REPORT),
        (reports.Received, examples.RECEIVED),
        (reports.ReportBatch, examples.BATCH),
        (reports.BatchReceived, examples.BATCH_RECEIVED),
        (vms.Vm, examples.VM),
        (vms.Metric, examples.METRIC),
        (vms.Status, examples.STATUS),
        (resets.Reset, examples.RESET),
        (resets.ResetRequest, examples.ASKED),
        (resets.ResetSent, examples.SENT),
        (resets.ResetUnderWay, examples.UNDER_WAY),
        (failures.Invalid, examples.INVALID),
        (failures.Conflict, examples.HELD),
        (failures.Broken, examples.BROKEN),
        (failures.ResetFailure, examples.RESET_FAILED),
        (probes.Readiness, examples.READY),
        (probes.Readiness, examples.NOT_READY),
        (probes.Liveness, examples.ALIVE),
        (fleet.VmPage, fleet_examples.PAGE),
        (fleet.FleetVector, fleet_examples.FLEET),
        (fleet.Node, fleet_examples.NODE),
        (fleet.Label, fleet_examples.LABEL),
        (past.Transition, fleet_examples.TRANSITION),
        (past.Hold, fleet_examples.HOLD),
        (overview.System, fleet_examples.SYSTEM),
        (overview.Config, fleet_examples.CONFIG),
        (enrolment.EnrolRequest, enrolment_examples.ENROL_REQUEST),
        (enrolment.EnrolAnswer, enrolment_examples.ENROLLED),
        (enrolment.EnrolmentToken, enrolment_examples.ENROLMENT),
        (enrolment.EnrolmentTokenMade, enrolment_examples.ENROLMENT_MADE),
        (enrolment.AgentToken, enrolment_examples.AGENT_TOKEN),
        (enrolment.TokenRotated, enrolment_examples.ROTATED),
    ],
)
def test_an_example_is_what_its_model_says(
    model: type[BaseModel], example: dict[str, object]
) -> None:
    TypeAdapter(model).validate_python(example)
    known = {field.alias or name for name, field in model.model_fields.items()}
    assert example.keys() <= known


async def test_the_running_api_serves_it(shared_api: RunningApi) -> None:
    assert (await shared_api.http.get("/api/openapi.json")).json() == DOCUMENT


async def test_real_answers_have_the_fields_of_the_examples(shared_api: RunningApi) -> None:
    await shared_api.report()
    assert (await shared_api.get("/api/vms/vm_1")).json().keys() == examples.VM.keys()
    assert (await shared_api.get("/api/vms/vm_1/metrics")).json()[
        0
    ].keys() == examples.METRIC.keys()
    assert (await shared_api.get("/api/status")).json().keys() == examples.STATUS.keys()
