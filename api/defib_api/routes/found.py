"""Finds what an address names, or answers 404."""

from typing import Annotated

from fastapi import Depends, Path

from defib_api.errors import ApiError
from defib_api.schemas.identifiers import VM_ID, read_id
from defib_api.services import Services, services_of
from defib_core.store import reads
from defib_core.store.reads import VmView

ServicesOf = Annotated[Services, Depends(services_of)]
VmId = Annotated[str, Path(description="The VM's id, as /api/vms shows it.", examples=["vm_123"])]


def no_vm(vm_id: str) -> ApiError:
    """Say that there is no such VM."""
    return ApiError(404, f"there is no VM {vm_id[:40]!r}; ids look like vm_123, see /api/vms")


async def view_of(services: Services, vm_id: str) -> VmView:
    """Read the VM an id names; raise the 404."""
    number = read_id(VM_ID, vm_id)
    if number is None:
        raise no_vm(vm_id)
    async with services.reading() as connection:
        view = await reads.one_vm(connection, number)
    if view is None:
        raise no_vm(vm_id)
    return view
