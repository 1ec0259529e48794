"""The worker: gathers what is new into messages, and sends what is due. Several may run.

At least once: a message whose sender dies after sending is sent again, with the same id.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.domain.notices import Severity
from defib_core.store import notices
from defib_core.store.clock import database_now
from defib_core.store.notices import Delivery
from defib_notify.configuration import Destination, NotifyConfig
from defib_notify.grouping import group
from defib_notify.guard import Networks
from defib_notify.metrics import Metrics
from defib_notify.sending import GiveUp, TryAgain, after, send
from defib_notify.undelivered import Undelivered

log = structlog.get_logger(__name__)

EVERY = timedelta(seconds=2)
AT_A_TIME = 8
GONE = "no destination of this name is configured any more"

Send = Callable[[Destination, Delivery, Networks], Awaitable[None]]


def _unnoted() -> None:
    """Note nothing."""


class Worker:
    """Works on one database with one configuration."""

    def __init__(
        self,
        engine: AsyncEngine,
        config: NotifyConfig,
        metrics: Metrics,
        send_it: Send = send,
        *,
        turned: Callable[[], None] = _unnoted,
    ) -> None:
        """`turned` is called after each whole turn."""
        self._engine = engine
        self._config = config
        self._metrics = metrics
        self._send = send_it
        self._turned = turned
        self._destinations = {one.name: one for one in config.destinations}

    async def run(self) -> None:
        """Work for ever; raises what the database raises."""
        while True:
            await self.gather()
            sent = await self.send_due()
            self._turned()
            if not sent:
                await asyncio.sleep(EVERY.total_seconds())

    async def gather(self) -> int:
        """Make messages of what is new; return how many."""
        async with self._engine.begin() as connection:
            if not await notices.take_turn(connection):
                return 0
            now = await database_now(connection)
            grace = timedelta(seconds=self._config.hold_grace_seconds)
            await notices.note_what_lasts(connection, now, grace)
            found = await notices.unsettled(connection)
            span = timedelta(seconds=self._config.group_interval_seconds)
            told = await notices.last_told(connection, now, span)
            grouped = group(found, self._config, told, now)
            for new in grouped.deliveries:
                await notices.add(connection, new, now)
            await notices.shrink(connection, grouped.left)
            await notices.settle(connection, grouped.settled, now)
        return len(grouped.deliveries)

    async def send_due(self) -> int:
        """Send what is due; return how many were tried."""
        async with self._engine.begin() as connection:
            now = await database_now(connection)
            due = await notices.claim(connection, now, AT_A_TIME)
        await asyncio.gather(*(self._deliver(one) for one in due))
        return len(due)

    async def _deliver(self, delivery: Delivery) -> None:
        destination = self._destinations.get(delivery.destination)
        if destination is None:
            await self._failed(delivery, GiveUp(GONE))
            return
        try:
            await self._send(destination, delivery, self._config.allowed_networks)
        except Undelivered as error:
            await self._failed(delivery, after(error, delivery.attempts))
        except Exception:
            log.exception("notification_broke", delivery=delivery.id, to=delivery.destination)
            mistake = Undelivered("an error on our side; see the log")
            await self._failed(delivery, after(mistake, delivery.attempts))
        else:
            await self._arrived(delivery)

    async def _arrived(self, delivery: Delivery) -> None:
        async with self._engine.begin() as connection:
            await notices.delivered(connection, delivery.id, await database_now(connection))
        self._metrics.deliveries.labels(delivery.destination, "delivered").inc()
        log.info(
            "notification_delivered",
            delivery=delivery.id,
            to=delivery.destination,
            group=delivery.group_key,
            notices=len(delivery.notices),
        )

    async def _failed(self, delivery: Delivery, then: GiveUp | TryAgain) -> None:
        async with self._engine.begin() as connection:
            now = await database_now(connection)
            if isinstance(then, GiveUp):
                await notices.give_up(connection, delivery.id, now, then.why)
            else:
                await notices.try_again(connection, delivery.id, now + then.after, then.why)
        outcome = "dead" if isinstance(then, GiveUp) else "failed"
        self._metrics.deliveries.labels(delivery.destination, outcome).inc()
        log.warning(
            "notification_dead" if outcome == "dead" else "notification_failed",
            delivery=delivery.id,
            to=delivery.destination,
            attempts=delivery.attempts,
            why=then.why,
            critical=delivery.severity is Severity.CRITICAL,
        )
