"""What sending a message can come to; the one place that knows which way a destination takes."""

import ssl
from dataclasses import dataclass
from datetime import timedelta

from defib_core.store.notices import Delivery
from defib_notify import by_apprise, webhook
from defib_notify.configuration import Destination
from defib_notify.guard import Networks
from defib_notify.undelivered import Undelivered

FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=1)
MOST_ATTEMPTS = 10
"""Some four hours, with the pauses between them."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It never arrives; the text says why."""

    why: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """It did not arrive this time."""

    why: str
    after: timedelta


async def send(
    destination: Destination,
    delivery: Delivery,
    allowed: Networks,
    trust: ssl.SSLContext | None = None,
) -> None:
    """Send a message; raises Undelivered. `trust` is for our own webhook."""
    if destination.webhook is not None:
        await webhook.send(destination.webhook, delivery, allowed, trust)
    elif destination.apprise is not None:
        await by_apprise.send(destination.apprise, delivery, allowed)


def after(error: Undelivered, attempts: int) -> GiveUp | TryAgain:
    """Say what comes of a failure. Pure."""
    if error.is_final:
        return GiveUp(str(error))
    if attempts >= MOST_ATTEMPTS:
        return GiveUp(f"{error} (after {attempts} attempts)")
    return TryAgain(str(error), min(FIRST_PAUSE * 2 ** (attempts - 1), LONGEST_PAUSE))
