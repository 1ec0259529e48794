"""Production's parts, spared what would change nothing: polls without work, renewals nobody reads.

What is left out is made up for just before somebody could notice. Sweeps are in `sparing_sweeps`.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

from defib_core.store.clusters import Cluster
from defib_dev.simulate.stillness import Stillness
from defib_operator.cluster_watch import ClusterWatch
from defib_operator.leadership import MARGIN, Leadership
from defib_operator.pipeline import Pipeline

OWED = """
UPDATE leader_lease SET expires_at = %s WHERE holder = %s AND epoch = %s
"""


class SparingPipeline(Pipeline):
    """The pipeline, which asks the database only when there may be an unfinished intent."""

    may_have_work = True
    leads: Callable[[], bool]

    async def take_up(self) -> None:
        """Begin or go on with every unfinished intent."""
        if not self.may_have_work:
            return
        await super().take_up()
        self.may_have_work = bool(self._under_way) or not self.leads()


class SparingLeadership(Leadership):
    """The lease, whose renewals by a leader without rivals wait until somebody reads it."""

    may_spare: Callable[[], bool]
    """Whether nobody else could take the lease, and the database could be reached."""
    database_now: Callable[[], datetime]
    _owed: datetime | None = None
    _is_sole = False
    """Whether it renewed its lease in the database since it has no rivals."""

    async def _try(self) -> None:
        is_alone = self.may_spare()
        if not (is_alone and self._is_sole and self.leads):
            await super()._try()
            # A rival may have taken the lease with its last breath.
            self._is_sole = is_alone and self.leads
            return
        lasts = self._duration.total_seconds() * MARGIN
        self._believed_until = asyncio.get_running_loop().time() + lasts
        self._owed = self.database_now() + self._duration

    def must_renew(self) -> None:
        """Take note that the lease may have run out in the database."""
        self._is_sole = False

    def make_up(self, run: Callable[[str, tuple[object, ...]], object]) -> None:
        """Write down the last renewal that was left out."""
        owed, self._owed = self._owed, None
        if owed is not None:
            run(OWED, (owed, self._identity, self._epoch))


class SparingClusterWatch(ClusterWatch):
    """The looks at Proxmox, written down only where they show something else than the last one."""

    stillness: Stillness
    _found: object = None

    async def _look_at(self, cluster: Cluster) -> None:
        if not self.stillness.is_still:
            self._found = None
            await super()._look_at(cluster)
            return
        seen = await self._view(cluster)
        found = (seen.inventory, repr(seen.trouble), self.stillness.stirs())
        if found != self._found:
            await super()._look_at(cluster)
            self._found = found


LEASE_TABLE = "leader_lease"
PROOFS_TABLE = "ingest_liveness"
MAKES_WORK = "INSERT INTO reset_history"
"""How statements that matter here are told."""
