"""What must hold of every scenario, whatever happens in it: see docs/safety.md.

Judged by how things truly stood when a POST was sent, not by what Defib believed. Pure.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from itertools import pairwise

from defib_core.domain.actions import Phase
from defib_dev.simulate.expectations import Failure, Judged
from defib_dev.simulate.floors import blind_since, floors, small_jumps
from defib_dev.simulate.moments import format_moment
from defib_dev.simulate.record import Reset
from defib_dev.simulate.scenario import ClockJump, Pause
from defib_dev.simulate.story import Ended, Story
from defib_dev.simulate.virtual_time import START

LEAST_IN_FLIGHT = 2
SETTLED = 120.0
"""What a sweep, a look, and a watch on traffic may take together."""
LONGEST_WAIT = 3600.0
HOUR, SLACK = 3600.0, 10.0
REPORTS_WITHIN = 31.0
A_MOMENT = 1.0
DOWN, MISSING = "down", "HeartbeatMissing"

Check = Callable[[Story], Iterator[Failure]]


def violations(story: Story) -> list[Failure]:
    """Find everything that must never be."""
    return [violation for check in CHECKS for violation in check(story)]


def _one_post_a_claim(story: Story) -> Iterator[Failure]:
    sent = Counter((post.vm, post.step) for post in story.posts)
    for (vm, step), count in sent.items():
        claimed = story.claims.get((vm, step), 0)
        if count > claimed:
            yield _failure(0.0, f"{claimed} POSTs of {step} of {vm}, as claimed", f"{count}")


def _one_intent_at_a_time(story: Story) -> Iterator[Failure]:
    spans = defaultdict(list)
    for one in story.record.resets:
        spans[one.vm].append((one.intended_at, one.ended_at or story.scenario.until))
    for gone in story.record.cancelled:
        spans[gone.vm].append((gone.intended_at, gone.at))
    for vm, found in spans.items():
        for (_, ended), (begun, _) in pairwise(sorted(found)):
            if begun < ended:
                yield _failure(begun, f"one unfinished intent of {vm}", "two")


def _waits_are_kept(story: Story) -> Iterator[Failure]:
    """Attempt k+1 comes `bootGrace * 2^(k-1)` after attempt k; a start that is owed at once."""
    if any(isinstance(event.happening, ClockJump) for event in story.scenario.events):
        return
    grace = min(config.boot_grace_seconds for _, config in story.configs)
    by_vm = defaultdict(list)
    for reset in story.automatic():
        by_vm[reset.vm].append(reset)
    for first, second in (pair for resets in by_vm.values() for pair in pairwise(resets)):
        wait = min(grace * 2 ** (first.attempt - 1), LONGEST_WAIT)
        follows = second.attempt > first.attempt and not _owed_start(first, second)
        if follows and second.at - first.at < wait - A_MOMENT:
            wanted = f"{wait:g} s between attempts {first.attempt} and the next of {first.vm}"
            yield _failure(second.at, wanted, f"{second.at - first.at:.0f} s")


def _owed_start(first: Reset, second: Reset) -> bool:
    return first.action == second.action == "StopStart" and first.outcome != Phase.SUCCEEDED


def _attempts_are_bounded(story: Story) -> Iterator[Failure]:
    most = max(config.max_reset_attempts for _, config in story.configs)
    by_vm = defaultdict(list)
    for reset in story.automatic():
        by_vm[reset.vm].append(reset)
    for resets in by_vm.values():
        for number, reset in enumerate(resets):
            is_owed = number > 0 and _owed_start(resets[number - 1], reset)
            if reset.attempt > most and not is_owed:
                yield _failure(
                    reset.at, f"at most {most} attempts of {reset.vm}", f"{reset.attempt}"
                )


def _silent_for_a_full_timeout(story: Story) -> Iterator[Failure]:
    """An automatic reset comes a full timeout after the VM could be heard again, or later."""
    for post in story.first_posts(automatic=True):
        timeout = story.config_at(post.at).stale_timeout_ms / 1000
        heard = [at for at in story.record.heard.get(post.vm, ()) if at <= post.at]
        since = max([*heard[-1:], *_floors(story, post.vm, post.at)], default=0.0)
        if post.at - since < timeout - _slack(story):
            wanted = f"{post.vm} silent for {timeout:g} s, and listened to, before its reset"
            yield _failure(post.at, wanted, f"{post.at - since:.0f} s")


def _slack(story: Story) -> float:
    """What may be missing from a timeout."""
    return A_MOMENT + small_jumps(story.scenario)


def _floors(story: Story, vm: str | None, before: float) -> Iterator[float]:
    yield from floors(story.scenario, vm, before)
    for (_, old), (at, new) in pairwise(story.configs):
        if at < before and old.stale_timeout_ms != new.stale_timeout_ms:
            yield at


def _nothing_while_blind(story: Story) -> Iterator[Failure]:
    for post in story.first_posts(automatic=True):
        if blind_since(story.scenario, post.at) is not None:
            yield _failure(post.at, f"no reset of {post.vm} while blind", post.step)
    for one in story.record.transitions:
        if one.reason == MISSING and blind_since(story.scenario, one.at) is not None:
            yield _failure(one.at, f"{one.vm} not down while blind", one.reason)


def _nobody_down_who_was_heard(story: Story) -> Iterator[Failure]:
    for one in story.record.transitions:
        if one.reason != MISSING:
            continue
        timeout = story.config_at(one.at).stale_timeout_ms / 1000
        heard = [at for at in story.record.heard.get(one.vm, ()) if at < one.at]
        since = max([*heard[-1:], *_floors(story, None, one.at)], default=0.0)
        if one.at - since < timeout - _slack(story):
            wanted = f"{one.vm} silent for {timeout:g} s, and listened to, before it is down"
            yield _failure(one.at, wanted, f"{one.at - since:.0f} s")


def _nothing_under_way_when_heard(story: Story) -> Iterator[Failure]:
    """A heartbeat after the intent cancels it."""
    for one in story.automatic():
        heard = story.record.heard.get(one.vm, ())
        if one.posted and any(one.intended_at < at < one.at for at in heard):
            yield _failure(one.at, f"no POST for {one.vm}, heard since its intent", one.action)


def _nobody_whose_reports_are_refused(story: Story) -> Iterator[Failure]:
    for post in story.first_posts(automatic=True):
        timeout = story.config_at(post.at).stale_timeout_ms / 1000
        refused = [at for at in story.refused.get(post.vm, ()) if at <= post.at]
        if refused and post.at - refused[-1] < timeout - _slack(story):
            wanted = f"no reset of {post.vm}, whose reports are refused"
            yield _failure(post.at, wanted, f"refused {post.at - refused[-1]:.0f} s before")


def _nobody_unarmed(story: Story) -> Iterator[Failure]:
    for post in story.first_posts(automatic=True):
        wanted = min(config.safety.arm_after_reports for _, config in story.configs)
        heard = sum(1 for at in story.record.heard.get(post.vm, ()) if at <= post.at)
        if heard < wanted:
            yield _failure(post.at, f"no reset of {post.vm} before {wanted} reports", f"{heard}")


def _nothing_that_proxmox_has_busy(story: Story) -> Iterator[Failure]:
    for post in story.posts:
        if post.lock or post.is_template or post.is_another or not post.is_here:
            yield _failure(post.at, f"no {post.step} of {post.vm} as it stands", f"{post}")
        elif post.step == "reset" and post.power in (None, "stopped", "paused", "prelaunch"):
            yield _failure(post.at, f"no reset of {post.vm}", f"its power is {post.power}")


def _nothing_to_the_living(story: Story) -> Iterator[Failure]:
    for post in story.first_posts(automatic=True):
        if post.lives and "guestAgent" in post.config.safety.second_life_signals:
            yield _failure(post.at, f"no reset of {post.vm}, which lives", f"{post.step}")


def _nothing_a_person_forbade(story: Story) -> Iterator[Failure]:
    for post in story.first_posts():
        if post.is_stopped:
            yield _failure(post.at, "no reset under the global stop", f"{post.vm}")
        if post.config.dry_run:
            yield _failure(post.at, f"no POST for {post.vm} in a dry run", post.step)
    for post in story.first_posts(automatic=True):
        if post.is_paused:
            yield _failure(post.at, f"no reset of {post.vm} while paused", post.step)
        if post.is_maintained:
            yield _failure(post.at, f"no reset of {post.vm} in maintenance", post.step)
        if not post.config.auto_reset_enabled:
            yield _failure(post.at, f"no reset of {post.vm} while that is off", post.step)


def _places_are_kept(story: Story) -> Iterator[Failure]:
    percent = max(config.safety.max_concurrent_percent for _, config in story.configs)
    most = max(LEAST_IN_FLIGHT, len(story.scenario.fleet) * percent // 100)
    judged = Judged(story.scenario, story.record)
    yield from judged.in_flight_above(most)
    on_node = max(config.safety.max_concurrent_per_node for _, config in story.configs)
    nodes = {(post.vm, post.at): post.node for post in story.posts}
    for node in story.scenario.nodes:
        here = {key for key, where in nodes.items() if where == node}
        yield from judged.in_flight_above(on_node, _among(here))


def _among(keys: Container[tuple[str, float]]) -> Callable[[Reset], bool]:
    return lambda reset: (reset.vm, reset.at) in keys


def _hours_are_kept(story: Story) -> Iterator[Failure]:
    most = max(config.safety.max_resets_per_hour for _, config in story.configs)
    if any(isinstance(event.happening, ClockJump) for event in story.scenario.events):
        return
    sent = [reset.at for reset in story.automatic()]
    for number, at in enumerate(sent):
        within = sum(1 for other in sent[: number + 1] if at - other < HOUR - SLACK)
        if within > most:
            yield _failure(at, f"at most {most} resets an hour", f"{within}")


def _everybody_is_accounted_for(story: Story) -> Iterator[Failure]:
    until = story.scenario.until
    timeout = max(config.stale_timeout_ms for _, config in story.configs) / 1000
    for one in story.ends:
        heard = story.record.heard.get(one.vm, ())
        silent_for = until - (heard[-1] if heard else 0.0)
        is_explained = one.is_explained or not story.is_watched
        if one.is_off_by_us and not is_explained:
            yield _failure(until, f"{one.vm} on again, or held", "it is off, by us")
        if _is_heard(one) and silent_for < REPORTS_WITHIN and one.state == DOWN:
            yield _failure(until, f"{one.vm} healthy, as it reports", one.state)
        waited = min(silent_for, until - max(_late_floors(story, one.vm), default=0.0))
        is_explained |= _is_just_reset(story, one.vm)
        if waited > timeout + SETTLED and heard and not is_explained:
            wanted = f"{one.vm} reset, held, or given up"
            yield _failure(until, wanted, f"{one.state}, nothing said")


def _late_floors(story: Story, vm: str) -> Iterator[float]:
    """Give every moment from which its clock may have started again: rather too many."""
    scenario, until = story.scenario, story.scenario.until
    yield from _floors(story, vm, until)
    windows = [one for _, config in story.configs for one in config.maintenance or ()]
    pauses = [
        event.at + (event.happening.lasts or 0.0)
        for event in scenario.events
        if isinstance(event.happening, Pause) and event.happening.vm == vm
    ]
    ends = [*pauses, *((one.ends_at - START).total_seconds() for one in windows)]
    if ends and any(isinstance(event.happening, ClockJump) for event in scenario.events):
        yield until  # when they ended, by the scenario's clock, is not worth telling
    yield from (min(end, until) for end in ends)


def _is_just_reset(story: Story, vm: str) -> bool:
    until = story.scenario.until
    return any(one.vm == vm and until - one.at < SETTLED for one in story.record.resets)


def _is_heard(one: Ended) -> bool:
    return one.reporting and not one.refused


CHECKS: Sequence[Check] = (
    _one_post_a_claim,
    _one_intent_at_a_time,
    _waits_are_kept,
    _attempts_are_bounded,
    _silent_for_a_full_timeout,
    _nothing_while_blind,
    _nobody_down_who_was_heard,
    _nothing_under_way_when_heard,
    _nobody_whose_reports_are_refused,
    _nobody_unarmed,
    _nothing_that_proxmox_has_busy,
    _nothing_to_the_living,
    _nothing_a_person_forbade,
    _places_are_kept,
    _hours_are_kept,
    _everybody_is_accounted_for,
)


def _failure(at: float, expected: str, seen: str) -> Failure:
    return Failure(format_moment(at), expected, seen)
