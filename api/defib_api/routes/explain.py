"""`/api/vms/{id}/explain`: why a VM is, or is not, being reset."""

from fastapi import APIRouter

from defib_api.control_examples import EXPLANATION
from defib_api.documented import documented
from defib_api.routes.found import ServicesOf, VmId, no_vm
from defib_api.schemas.explain import VmExplanation
from defib_api.schemas.identifiers import VM_ID, read_id
from defib_core.domain.explain import explain
from defib_core.store.clock import database_now
from defib_core.store.explain import facts_of

router = APIRouter(prefix="/api/vms", tags=["VMs"])


@router.get(
    "/{vm_id}/explain",
    operation_id="explainVm",
    summary="Why a VM is, or is not, being reset",
    responses=documented(EXPLANATION, 401, 404, 503),
)
async def explain_vm(services: ServicesOf, vm_id: VmId) -> VmExplanation:
    """The verdict now, its clocks, every check in order, what is needed, and the last decisions.

    What only the operator can know is its last word, as of its last sweep.
    """
    number = read_id(VM_ID, vm_id)
    if number is None:
        raise no_vm(vm_id)
    async with services.reading() as connection:
        facts = await facts_of(connection, number, await database_now(connection))
    if facts is None:
        raise no_vm(vm_id)
    return VmExplanation.from_told(number, explain(facts))
