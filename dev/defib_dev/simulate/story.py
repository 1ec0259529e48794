"""Reads what the invariants judge: what happened in a scenario, and how it ended."""

import psycopg

from defib_dev.simulate.invariants import Ended, Story
from defib_dev.simulate.record import read_record
from defib_dev.simulate.scenario import Vm
from defib_dev.simulate.world import World

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


def read_story(world: World) -> Story:
    """Read it from the world of a scenario that has ended."""
    names = {vm_id: name for name, vm_id in world.vm_ids.items()}
    with psycopg.connect(world.database_url) as connection:
        claims = {(names[vm_id], step): count for vm_id, step, count in connection.execute(CLAIMS)}
        ends = [
            _ended(world, world.scenario.vm(names[vm_id]), row)
            for vm_id, *row in connection.execute(ENDS)
        ]
    return Story(world.scenario, read_record(world), world.posts, claims, ends)


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
