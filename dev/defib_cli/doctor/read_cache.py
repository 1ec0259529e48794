"""Redis, asked for a sign of life. Without it Defib is slower and nothing else."""

from defib_api.cache import ReadCache
from defib_cli.doctor.finding import Finding, Part

REDIS = Part("redis")
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
        broken = await cache.check()
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
