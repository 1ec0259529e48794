"""Asks each part how it is, in a bounded time."""

import asyncio
from datetime import UTC, datetime

from defib_api.schemas.probes import Check, CheckStatus, Readiness
from defib_api.services import Services
from defib_core.store.clock import database_now
from defib_core.store.failures import DATABASE_ERRORS, explain

ASK_SECONDS = 2.0
OK = Check(status=CheckStatus.OK)


async def readiness_of(services: Services) -> Readiness:
    """Look at everything a report needs, and at the cache, which nothing needs."""
    database, redis = await asyncio.gather(_database(services), _redis(services))
    checks = {
        "database": database,
        "ingest": _ingest(services),
        "setup": _setup(services),
        "redis": redis,
    }
    ready = all(check.status is not CheckStatus.DOWN for check in checks.values())
    return Readiness(ready=ready, checks=checks)


async def _database(services: Services) -> Check:
    asking = asyncio.create_task(_ask(services))
    done, _ = await asyncio.wait({asking}, timeout=ASK_SECONDS)
    if done:
        why = asking.result()
    else:
        # Not awaited: cancelling asks a server that does not answer.
        asking.cancel()
        why = f"no answer within {ASK_SECONDS:.0f} s"
    if why is None:
        return OK
    away = services.writer.away
    since = datetime.now(UTC) if away is None else away.since
    return Check(status=CheckStatus.DOWN, since=since, message=why)


async def _ask(services: Services) -> str | None:
    try:
        async with services.engine.connect() as connection:
            await database_now(connection)
    except (*DATABASE_ERRORS, OSError) as error:
        return explain(error)
    return None


def _ingest(services: Services) -> Check:
    away = services.writer.away
    if away is None:
        return OK
    return Check(status=CheckStatus.DOWN, since=away.since, message=away.why)


def _setup(services: Services) -> Check:
    problem = services.house.problem
    return OK if problem is None else Check(status=CheckStatus.DOWN, message=problem)


async def _redis(services: Services) -> Check:
    if not services.cache.is_configured:
        return Check(status=CheckStatus.OFF, message="DEFIB_REDIS_URL is not set; reads are slower")
    broken = await services.cache.check()
    if broken is None:
        return OK
    return Check(status=CheckStatus.DEGRADED, since=broken.since, message=broken.why)
