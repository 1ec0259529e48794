"""`/api/sparklines`: the last hour of the VMs on a page, in one read."""

from typing import Annotated

from fastapi import APIRouter, Query

from defib_api import fleet_examples as examples
from defib_api.documented import documented
from defib_api.errors import refused_field
from defib_api.routes.found import ServicesOf
from defib_api.schemas.identifiers import VM_ID, read_id
from defib_api.schemas.sparklines import Sparklines
from defib_core.store import sparklines
from defib_core.store.clock import database_now

MOST_IDS = 200
LONGEST = MOST_IDS * 22
"""Characters of so many ids with their commas."""

router = APIRouter(prefix="/api", tags=["Fleet"])

Ids = Annotated[
    str,
    Query(max_length=LONGEST, description=f"Ids with commas between, at most {MOST_IDS}."),
]


@router.get(
    "/sparklines",
    operation_id="getSparklines",
    summary="The last hour of some VMs",
    responses=documented(examples.SPARKLINES, 400, 401, 503),
)
async def get_sparklines(services: ServicesOf, ids: Ids) -> Sparklines:
    """CPU and RAM of the last hour in means of five minutes, of up to 200 VMs at once.

    The last step runs still. VMs that reported nothing, or are not known, are left out.
    """
    asked = ids.split(",")
    if len(asked) > MOST_IDS:
        raise refused_field("ids", f"names more than {MOST_IDS} VMs")
    known = [number for text in asked if (number := read_id(VM_ID, text)) is not None]
    async with services.reading() as connection:
        now = await database_now(connection)
        return Sparklines.from_store(await sparklines.recent(connection, known, now))
