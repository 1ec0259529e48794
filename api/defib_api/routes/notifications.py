"""`/api/notifications`: messages to people that wait or never arrived."""

from fastapi import APIRouter

from defib_api.documented import documented
from defib_api.routes.found import ServicesOf
from defib_api.schemas.notifications import Notifications, Undelivered
from defib_core.store import notices

MOST = 200
EXAMPLE = {
    "waiting": 0,
    "dead": 1,
    "undelivered": [
        {
            "id": 17,
            "destination": "on-call",
            "severity": "critical",
            "group": "node default/pve1",
            "notices": 2,
            "createdAt": "2026-11-24T02:56:41Z",
            "attempts": 1,
            "nextAt": None,
            "deadAt": "2026-11-24T02:56:43Z",
            "error": "it was answered 404",
        }
    ],
}

router = APIRouter(prefix="/api/notifications", tags=["Fleet"])


@router.get(
    "",
    operation_id="listNotifications",
    summary="Messages that have not arrived",
    responses=documented(EXAMPLE, 401, 503),
)
async def list_notifications(services: ServicesOf) -> Notifications:
    """What waits to be sent, and what was given up, with the reason."""
    async with services.reading() as connection:
        counts = await notices.counts(connection)
        found = await notices.listed(connection, MOST)
    return Notifications.from_found(counts, [Undelivered.from_delivery(one) for one in found])
