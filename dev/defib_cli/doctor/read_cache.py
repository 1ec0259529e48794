"""Redis, asked for a sign of life. Without it Defib is slower and nothing else."""

import asyncio

from defib_api.cache import REST_SECONDS, Broken, ReadCache
from defib_cli.doctor.finding import Finding, Part

REDIS = Part("redis")
TRIES = 3
ADVICE = "check DEFIB_REDIS_URL: address, password and certificate"


async def examine_redis(url: str | None) -> list[Finding]:
    """Ask Redis for a sign of life."""
    if url is None:
        return [REDIS.ok("reachable", "none is configured; reads are answered from PostgreSQL")]
    try:
        cache = ReadCache(url, scope="doctor")
    except ValueError as error:
        return [REDIS.fail("reachable", str(error), ADVICE)]
    try:
        broken = await _checked(cache)
    finally:
        await cache.close()
    if broken is None:
        return [REDIS.ok("reachable", "it answers")]
    return [
        REDIS.warn(
            "reachable",
            f"{broken.why}: reads are slower, nothing else",
            ADVICE,
        )
    ]


async def _checked(cache: ReadCache) -> Broken | None:
    """Ask a few times: the API gives it half a second, and a person who asks has longer."""
    broken = await cache.check()
    for _ in range(TRIES - 1):
        if broken is None:
            break
        await asyncio.sleep(REST_SECONDS)
        broken = await cache.check()
    return broken
