"""`/api/audit`: who did what, when, by which way, and why."""

from typing import Annotated

from fastapi import APIRouter, Query

from defib_api import control_examples as examples
from defib_api.documented import documented
from defib_api.errors import refused_field
from defib_api.routes.found import ServicesOf
from defib_api.schemas.controls import AuditEntry
from defib_api.schemas.identifiers import AUDIT_ID, VM_ID, read_id
from defib_core.store.audit import AuditQuery, Deed, audit_log

LINES, LINES_MOST = 100, 500

router = APIRouter(prefix="/api/audit", tags=["Controls"])


@router.get(
    "",
    operation_id="getAudit",
    summary="What people did",
    responses=documented([examples.AUDIT], 400, 401, 503),
)
async def get_audit(
    services: ServicesOf,
    vm: Annotated[str | None, Query(description="Only of this VM.", examples=["vm_123"])] = None,
    action: Annotated[Deed | None, Query(description="Only this.")] = None,
    limit: Annotated[int, Query(ge=1, le=LINES_MOST)] = LINES,
    before: Annotated[
        str | None, Query(description="Only what is older than this line.", examples=["audit_78"])
    ] = None,
) -> list[AuditEntry]:
    """Who did what, when and why, newest first. For more, ask again `before` the last line."""
    vm_id = None if vm is None else read_id(VM_ID, vm)
    line_id = None if before is None else read_id(AUDIT_ID, before)
    if vm is not None and vm_id is None:
        raise refused_field("vm", "must be the id of a VM, such as vm_123")
    if before is not None and line_id is None:
        raise refused_field("before", "must be the id of a line of this log, such as audit_78")
    wanted = AuditQuery(limit=limit, vm_id=vm_id, action=action, before=line_id)
    async with services.reading() as connection:
        return [AuditEntry.from_line(one) for one in await audit_log(connection, wanted)]
