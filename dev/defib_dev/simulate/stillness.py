"""Whether anything can have changed that a sweep, or a look at Proxmox, would notice.

Told by the database itself, which counts changes of rows that matter (see `simulated.sql`), and by
what the scenario does to the parts around it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from defib_dev.simulate import due
from defib_dev.simulate.guests import REPORT_EVERY
from defib_dev.simulate.statements import as_written

if TYPE_CHECKING:
    from defib_dev.simulate.world import World

HEARD_WITHIN = REPORT_EVERY + 1.0
SETTLED = 5.0
"""So long after an event every loop has noticed it."""
STIRS = as_written("SELECT last_value + CAST(is_called AS int) FROM stirred")


class Stillness:
    """What one world can say of it. `spares` False: that anything may have changed, always."""

    def __init__(self, world: "World", *, spares: bool) -> None:
        self._world = world
        self._spares = spares
        self.stirred_at = 0.0
        """When something last happened that no row tells."""
        self._lengths: tuple[object, Mapping[str, Sequence[timedelta]]] = (None, {})

    @property
    def now(self) -> datetime:
        """What the database's clock shows."""
        return self._world.timeline.database_now

    def stir(self) -> None:
        """Take note that something happens that no row tells."""
        self.stirred_at = self._world.timeline.elapsed

    @property
    def is_still(self) -> bool:
        """Whether everything around goes on as it did."""
        world = self._world
        return (
            self._spares
            and world.timeline.elapsed - self.stirred_at > SETTLED
            and not world.timeline.database_ahead
            and not world.guests.refused
            and world.is_undisturbed
            and min(self._counting()["silence"]).total_seconds() > HEARD_WITHIN
        )

    def stirs(self) -> int:
        """Count the changes of rows so far."""
        with self._world.sessions.one() as session:
            return int(session.run(STIRS).scalar_one())

    def steady(self) -> frozenset[int]:
        """The VMs that report all the time."""
        since = self._world.timeline.elapsed - HEARD_WITHIN
        return self._world.ingest.heard_since(since)

    def due(self, steady: frozenset[int], started: Sequence[datetime]) -> list[datetime]:
        """Give the moments at which a sweep may find something else.

        `started`: when QEMU processes began, as Proxmox says.
        """
        with self._world.sessions.one() as session:
            moments = session.ask(due.MOMENTS, {"steady": list(steady)})
        began = [(due.STARTED, at) for at in started]
        return due.due([*((str(kind), at) for kind, at in moments), *began], self._counting())

    def _counting(self) -> Mapping[str, Sequence[timedelta]]:
        config = self._world.kubernetes.in_force
        if self._lengths[0] is not config:
            self._lengths = (config, due.lengths(config))
        return self._lengths[1]
