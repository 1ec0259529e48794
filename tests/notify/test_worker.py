"""From what happens to what arrives, on a real database: told once, in spite of everything."""

# ruff: noqa: ANN401 - rows and changed fields are of any type

import asyncio
from typing import Any

import httpx
import pytest

from defib_core.store import notices
from defib_core.store.notices import NAMED, ONE_BY_ONE
from defib_notify.configuration import DeadMansSwitch
from defib_notify.dead_mans_switch import Switch
from defib_notify.metrics import Metrics
from defib_notify.undelivered import Undelivered
from defib_notify.wording import subject_of, text_of
from notify.outbox import Outbox, config_of, webhook


class Sent:
    """Stands in for the way out; fails as often as it is told."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.deliveries: list[Any] = []

    async def __call__(self, _: Any, delivery: Any, __: Any) -> None:
        self.deliveries.append(delivery)
        if self.failures:
            raise self.failures.pop(0)


async def test_changes_note_themselves_and_only_those_that_matter(outbox: Outbox) -> None:
    vm_id = await outbox.vm()
    await outbox.change(vm_id, "unknown", "healthy", "FirstHeartbeat")
    await outbox.change(vm_id, "healthy", "warning", "ThresholdExceeded")
    await outbox.change(vm_id, "warning", "down", "HeartbeatMissing")
    await outbox.change(vm_id, "down", "reset_failed", "AttemptsExhausted")
    await outbox.change(vm_id, "reset_failed", "healthy", "HeartbeatFresh")
    assert await outbox.kinds() == ["VmDown", "ResetFailed", "VmRecovered"]


async def test_a_vm_that_goes_down_is_told_once(outbox: Outbox) -> None:
    sent, config = Sent(), config_of(webhook())
    await outbox.down(await outbox.vm())
    assert await outbox.turn(config, sent) == 1
    assert await outbox.turn(config, sent) == 0
    (delivery,) = sent.deliveries
    assert delivery.notices[0]["vm"]["hostname"] == "web-1"
    (row,) = await outbox.deliveries()
    assert (row.attempts, row.error) == (1, None)
    assert row.delivered_at is not None


async def test_two_workers_tell_once(outbox: Outbox) -> None:
    sent, config = Sent(), config_of(webhook())
    await outbox.down(await outbox.vm())
    workers = [outbox.worker(config, sent) for _ in range(3)]
    await asyncio.gather(*(one.gather() for one in workers))
    await asyncio.gather(*(one.send_due() for one in workers))
    assert len(sent.deliveries) == 1


@pytest.mark.parametrize(
    ("reason", "minutes", "kinds"),
    [
        ("VMLocked", 11, ["VmHeld"]),
        ("VMLocked", 9, []),
        ("Paused", 600, []),
        ("FleetBrake", 600, []),
        ("IOActive", 61, ["GuestAlive"]),
        ("GuestAgentAlive", 59, []),
    ],
)
async def test_a_hold_is_told_after_the_grace_and_a_persons_will_never(
    outbox: Outbox, reason: str, minutes: int, kinds: list[str]
) -> None:
    await outbox.hold(await outbox.vm(), reason, minutes)
    config = config_of(webhook(), holdGraceSeconds=600)
    for _ in range(2):
        await outbox.turn(config, Sent())
    assert await outbox.kinds() == kinds


async def test_a_brake_is_told_by_name_and_its_end_too(outbox: Outbox) -> None:
    sent, config = Sent(), config_of(webhook())
    await outbox.sql(
        "INSERT INTO brake (kind, key, reason, message, started_at)"
        " SELECT 'node', id || '/pve1', 'NodeBrake', '5 of 6 are silent', defib_now()"
        " FROM proxmox_cluster"
    )
    await outbox.turn(config, sent)
    await outbox.sql("UPDATE brake SET ended_at = defib_now()")
    await outbox.turn(config, sent)
    assert await outbox.turn(config, sent) == 0
    told = [(one["kind"], one["scope"]) for each in sent.deliveries for one in each.notices]
    assert told == [
        ("BrakeInForce", "node default/pve1"),
        ("BrakeLetGo", "node default/pve1"),
    ]


async def test_a_message_that_fails_is_tried_again_later_and_then_arrives(outbox: Outbox) -> None:
    sent, config = Sent(Undelivered("it was answered 503")), config_of(webhook())
    await outbox.down(await outbox.vm())
    await outbox.turn(config, sent)
    (row,) = await outbox.deliveries()
    assert (row.error, row.dead_at, row.delivered_at) == ("it was answered 503", None, None)
    assert await outbox.turn(config, sent) == 0  # it waits
    await outbox.sql("UPDATE delivery SET next_at = defib_now()")
    assert await outbox.turn(config, sent) == 1
    (row,) = await outbox.deliveries()
    assert row.delivered_at is not None
    assert [one.id for one in sent.deliveries] == [row.id, row.id]


async def test_what_can_never_arrive_is_a_dead_letter_and_may_be_revived(outbox: Outbox) -> None:
    sent, config = Sent(Undelivered("it was answered 404", is_final=True)), config_of(webhook())
    await outbox.down(await outbox.vm())
    await outbox.turn(config, sent)
    async with outbox.engine.begin() as connection:
        (dead,) = await notices.listed(connection, 10)
        counted = await notices.counts(connection)
        assert dead.error == "it was answered 404"
        assert (counted.dead, counted.waiting) == (1, 0)
        assert await notices.revive(connection, dead.id)
        assert not await notices.revive(connection, dead.id)
    assert await outbox.turn(config, sent) == 1
    async with outbox.engine.begin() as connection:
        assert await notices.listed(connection, 10) == []


async def test_an_error_of_ours_loses_no_message(outbox: Outbox) -> None:
    sent, config = Sent(ValueError("a bug")), config_of(webhook())
    await outbox.down(await outbox.vm())
    await outbox.turn(config, sent)
    (row,) = await outbox.deliveries()
    assert row.error == "an error on our side; see the log"
    assert row.dead_at is None


async def test_a_worker_that_dies_while_it_sends_leaves_the_message_to_another(
    outbox: Outbox,
) -> None:
    sent, config = Sent(), config_of(webhook())
    await outbox.down(await outbox.vm())
    worker = outbox.worker(config, sent)
    await worker.gather()
    await outbox.sql(
        "UPDATE delivery SET attempts = 1, claimed_until = defib_now() + interval '1 min'"
    )
    assert await worker.send_due() == 0
    await outbox.sql("UPDATE delivery SET claimed_until = defib_now() - interval '1 s'")
    assert await worker.send_due() == 1


async def test_a_destination_that_was_removed_is_a_dead_letter(outbox: Outbox) -> None:
    await outbox.down(await outbox.vm())
    await outbox.worker(config_of(webhook(name="old"))).gather()
    await outbox.worker(config_of(webhook(name="new"))).send_due()
    (row,) = await outbox.deliveries()
    assert "no destination of this name" in row.error
    assert row.dead_at is not None


async def test_after_a_quiet_night_each_group_is_one_message(outbox: Outbox) -> None:
    quiet = [
        {"from": "00:00", "to": "12:00"},
        {"from": "12:00", "to": "00:00"},
    ]
    config = config_of(webhook(quiet=quiet))
    for number in range(3):
        await outbox.down(await outbox.vm(f"web-{number}", 101 + number))
        assert await outbox.turn(config, Sent()) == 0
    (row,) = await outbox.deliveries()
    assert [one["vm"]["hostname"] for one in row.notices] == ["web-0", "web-1", "web-2"]


async def test_a_crowd_on_one_node_is_one_message(outbox: Outbox) -> None:
    sent = Sent()
    for number in range(40):
        await outbox.down(await outbox.vm(f"web-{number}", 101 + number))
    await outbox.turn(config_of(webhook()), sent)
    (delivery,) = sent.deliveries
    assert len(delivery.notices) == 40


# many at once

MANY = ONE_BY_ONE + 5


async def a_crowd(outbox: Outbox) -> list[int]:
    return [await outbox.vm(f"web-{number}", 101 + number) for number in range(MANY)]


async def test_many_that_go_down_at_once_are_told_by_their_number_and_some_names(
    outbox: Outbox,
) -> None:
    sent = Sent()
    await outbox.all_down(await a_crowd(outbox))
    await outbox.turn(config_of(webhook()), sent)
    (delivery,) = sent.deliveries
    (told,) = delivery.notices
    assert (told["vm"], told["scope"]) == (None, "node default/pve1")
    assert told["vms"] == {"count": MANY, "first": [f"web-{number}" for number in range(NAMED)]}
    assert subject_of(delivery) == f"[Defib] {MANY} VMs are down (node default/pve1)"
    assert f"{MANY} VMs of node default/pve1 (web-0, web-1, " in text_of(delivery)


async def test_a_group_and_a_single_vm_of_its_node_are_one_message(outbox: Outbox) -> None:
    sent = Sent()
    *many, late = await a_crowd(outbox)
    await outbox.all_down(many)
    await outbox.down(late)
    await outbox.turn(config_of(webhook()), sent)
    (delivery,) = sent.deliveries
    assert subject_of(delivery) == f"[Defib] {MANY} VMs are down (node default/pve1)"


async def test_those_of_a_group_that_are_back_before_it_is_told_are_left_out(
    outbox: Outbox,
) -> None:
    sent, patient = Sent(), config_of(webhook(), groupWaitSeconds=3600)
    first, second, *others = await a_crowd(outbox)
    await outbox.all_down([first, second, *others])
    for vm_id in (first, second):
        await outbox.back(vm_id)
        assert await outbox.turn(patient, sent) == 0
    await outbox.turn(config_of(webhook()), sent)
    (delivery,) = sent.deliveries
    (told,) = delivery.notices
    assert told["vms"]["count"] == len(others)
    assert told["vms"]["first"][0] == "web-2"


async def test_a_group_that_is_back_as_a_whole_is_not_told(outbox: Outbox) -> None:
    sent, vm_ids = Sent(), await a_crowd(outbox)
    await outbox.all_down(vm_ids)
    for vm_id in vm_ids:
        await outbox.back(vm_id)
    assert await outbox.turn(config_of(webhook()), sent) == 0
    assert await outbox.sql("SELECT id FROM notice WHERE settled_at IS NULL") == []


async def test_many_holds_are_told_as_a_group_once_and_each_later_one(outbox: Outbox) -> None:
    sent, config = Sent(), config_of(webhook(), holdGraceSeconds=600)
    vm_ids = await a_crowd(outbox)
    for vm_id in vm_ids:
        await outbox.hold(vm_id, "ProxmoxUnreachable", 11)
    for _ in range(2):
        await outbox.turn(config, sent)
    (delivery,) = sent.deliveries
    assert delivery.notices[0]["vms"]["count"] == MANY
    assert delivery.notices[0]["detail"] == "ProxmoxUnreachable: because"

    await outbox.sql("UPDATE hold SET ended_at = defib_now() WHERE vm_id = :vm", vm=vm_ids[0])
    await outbox.hold(vm_ids[0], "VMLocked", 11)
    for _ in range(2):
        await outbox.turn(config, sent)
    assert [one["detail"] for one in sent.deliveries[-1].notices] == ["VMLocked: because"]
    assert len(sent.deliveries) == 2


# the dead man's switch


class Pinged:
    """An address that counts who asks."""

    def __init__(self) -> None:
        self.times = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.times += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()


async def make_well(outbox: Outbox) -> None:
    await outbox.sql(
        "INSERT INTO ingest_liveness (replica, started_at, proved_at)"
        " VALUES ('a', defib_now(), defib_now())"
    )
    await outbox.sql(
        "UPDATE leader_lease SET holder = 'a', expires_at = defib_now() + interval '1 h'"
    )
    await outbox.sql("UPDATE operator_health SET swept_at = defib_now()")


@pytest.mark.parametrize(
    ("breaks", "pings"),
    [
        ("SELECT 1", 1),
        ("UPDATE ingest_liveness SET proved_at = defib_now() - interval '1 min'", 0),
        ("UPDATE leader_lease SET expires_at = defib_now() - interval '1 s'", 0),
        ("UPDATE operator_health SET swept_at = defib_now() - interval '5 min'", 0),
        ("ALTER TABLE operator_health RENAME TO gone", 0),
    ],
)
async def test_the_dead_mans_switch_is_pinged_only_while_defib_is_well(
    outbox: Outbox, breaks: str, pings: int
) -> None:
    await make_well(outbox)
    await outbox.sql(breaks)
    pinged = Pinged()
    server = await asyncio.start_server(pinged.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        switch = DeadMansSwitch(url=f"http://127.0.0.1:{port}/")
        allowed = config_of().allowed_networks
        await Switch(outbox.engine, switch, allowed, Metrics()).once()
    assert pinged.times == pings


async def test_the_dead_mans_switch_does_not_reach_inward_unless_allowed(outbox: Outbox) -> None:
    await make_well(outbox)
    pinged = Pinged()
    server = await asyncio.start_server(pinged.serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.get(f"http://127.0.0.1:{port}/")).status_code == 200
        switch = DeadMansSwitch(url=f"http://127.0.0.1:{port}/")
        await Switch(outbox.engine, switch, (), Metrics()).once()
    assert pinged.times == 1
