"""Describes the ways to report for the OpenAPI, and answers other methods with 405.

The reports themselves never come here: `IngestFirst` takes them before FastAPI sees them.
"""

from typing import Annotated

from fastapi import APIRouter, Body, Security
from fastapi.security import APIKeyHeader

from defib_api import examples
from defib_api.documented import documented
from defib_api.schemas.reports import BatchReceived, HealthReport, Received, ReportBatch

agent_key = APIKeyHeader(
    name="X-API-Key",
    scheme_name="AgentKey",
    description="An agent's key, made by `defib token create`; bound to one Proxmox cluster.",
    auto_error=False,
)

relay_token = APIKeyHeader(
    name="X-Relay-Token",
    scheme_name="RelayToken",
    description="A relay's token, made by `defib relay create`. It takes the place of X-API-Key.",
    auto_error=False,
)

router = APIRouter(prefix="/api/health", tags=["Reports"])


@router.post(
    "/report",
    operation_id="report",
    summary="A VM reports its health",
    dependencies=[Security(agent_key)],
    responses=documented(examples.RECEIVED, 400, 401, 408, 413, 415, 429, 503),
)
async def report(_: Annotated[HealthReport, Body(examples=[examples.REPORT])]) -> Received:
    """Store one report. A 200 means that it is committed.

    On 429 and 503 nothing was stored: send it again after Retry-After. On any other failure
    sending the same again is of no use.
    """
    raise NotImplementedError("IngestFirst answers reports")


@router.post(
    "/reports",
    operation_id="reports",
    summary="An agent that buffered, or a relay, sends many reports",
    dependencies=[Security(agent_key), Security(relay_token)],
    responses=documented(examples.BATCH_RECEIVED, 400, 401, 408, 413, 415, 503),
)
async def reports(_: Annotated[ReportBatch, Body(examples=[examples.BATCH])]) -> BatchReceived:
    """Store up to 1,000 reports. A 200 means that those not in `rejected` are committed.

    One that is older than the report interval fills the history and moves no state. What is wrong
    with a report is said of that report and harms no other. On 503 none is known to be stored.
    """
    raise NotImplementedError("IngestFirst answers reports")
