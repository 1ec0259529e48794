"""`/api/coverage`: what nobody watches, and what nobody would reset."""

from fastapi import APIRouter

from defib_api import coverage_examples as examples
from defib_api.documented import documented
from defib_api.routes.found import ServicesOf
from defib_api.schemas.coverage import Coverage
from defib_core.store import coverage
from defib_core.store.clock import database_now

router = APIRouter(prefix="/api", tags=["Fleet"])


@router.get(
    "/coverage",
    operation_id="getCoverage",
    summary="What is not covered",
    responses=documented(examples.COVERAGE, 401, 503),
)
async def get_coverage(services: ServicesOf) -> Coverage:
    """VMs in Proxmox without an agent, agents without a VM, and VMs that would not be reset.

    As of when the operator last read each cluster's list: `clusters` says when that was.
    """
    async with services.reading() as connection:
        found = await coverage.coverage(connection, await database_now(connection))
    return Coverage.from_store(found)
