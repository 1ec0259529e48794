"""What happened in a scenario and how it ended, as the invariants judge it, read from its world."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from defib_core.config.system_config import SystemConfigSpec
from defib_core.domain.actions import Phase, Source
from defib_dev.simulate.record import Record, Reset, read_record
from defib_dev.simulate.scenario import Scenario, Vm
from defib_dev.simulate.world import Post, World

CLAIMS = """
SELECT r.vm_id, p.step, count(*) FROM reset_step p JOIN reset_history r ON r.id = p.intent_id
GROUP BY 1, 2
"""
ENDS = """
SELECT s.vm_id, s.state,
    EXISTS (SELECT FROM hold h WHERE h.vm_id = s.vm_id AND h.ended_at IS NULL)
    OR EXISTS (SELECT FROM reset_history r WHERE r.vm_id = s.vm_id
               AND (r.finished_at IS NULL
                    OR r.phase = 'dry_run' AND r.requested_at > s.last_heartbeat)),
    coalesce((SELECT p.step = 'stop' AND r.recovered_at IS NULL
              FROM reset_step p JOIN reset_history r ON r.id = p.intent_id
              WHERE r.vm_id = s.vm_id ORDER BY p.sending_at DESC LIMIT 1), false)
FROM vm_state s
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """A VM at the scenario's end, as the database and the world have it."""

    vm: str
    state: str
    reporting: bool
    refused: bool
    is_off_by_us: bool
    """We stopped it, and it is still off."""
    is_explained: bool
    """It has an open hold, an unfinished intent, or a dry run."""


@dataclass(frozen=True, slots=True)
class Story:
    """A scenario, what happened, and how it ended."""

    scenario: Scenario
    record: Record
    posts: Sequence[Post]
    claims: Mapping[tuple[str, str], int]
    """How often each POST of each VM was claimed."""
    ends: Sequence[Ended]
    configs: Sequence[tuple[float, SystemConfigSpec]]
    """Each SystemConfig that was in force, and from when on."""
    refused: Mapping[str, Sequence[float]]
    """When reports of each VM were refused."""
    is_watched: bool = True
    """An operator runs at the end."""

    def config_at(self, moment: float) -> SystemConfigSpec:
        """The SystemConfig in force at a moment."""
        return [config for at, config in self.configs if at <= moment][-1]

    def automatic(self) -> list[Reset]:
        """The resets that nobody asked for, sent or claimed."""
        return [
            one
            for one in self.record.resets
            if one.source == Source.AUTO and one.outcome != Phase.DRY_RUN
        ]

    def first_posts(self, *, automatic: bool = False) -> list[Post]:
        """The first POST of each reset."""
        resets = self.automatic() if automatic else self.record.resets
        begun = {(one.vm, one.at) for one in resets}
        return [post for post in self.posts if (post.vm, post.at) in begun]


def read_story(world: World) -> Story:
    """Read it from the world of a scenario that has ended."""
    names = {vm_id: name for name, vm_id in world.vm_ids.items()}
    with world.sessions.one() as session:
        claims = {(names[vm_id], step): count for vm_id, step, count in session.ask(CLAIMS)}
        ends = [
            _ended(world, world.scenario.vm(names[vm_id]), row) for vm_id, *row in session.ask(ENDS)
        ]
    return Story(
        scenario=world.scenario,
        record=read_record(world),
        posts=world.posts,
        claims=claims,
        ends=ends,
        configs=world.configs,
        refused=world.ingest.refused,
        is_watched=world.is_watched,
    )


def _ended(world: World, vm: Vm, row: list[object]) -> Ended:
    state, is_explained, stopped_last = row
    guest = world.guests.guest(vm)
    is_off = guest is not None and guest.status == "stopped"
    return Ended(
        vm=vm.name,
        state=str(state),
        reporting=bool(world.guests.reporting([vm])),
        refused=vm.name in world.guests.refused,
        is_off_by_us=is_off and bool(stopped_last),
        is_explained=bool(is_explained),
    )
