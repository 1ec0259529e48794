"""A report that was refused or shed is a sign of life, and nobody else's words are."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from controls.judged import sweep_once, verdict_on
from defib_api.ingest import rejections
from defib_api.ingest.backlog import BacklogFull, Outcome, TooManyOfOneVM
from defib_api.ingest.rejections import Rejections, sender_of
from defib_api.ingest.writer import DatabaseAway
from defib_core.domain.decide import Hold
from defib_core.domain.reasons import HoldReason
from defib_core.store.engine import make_engine
from defib_core.store.rejections import EVERY, Rejection, record_rejections
from defib_core.store.tokens import TokenKind
from support.running_api import RunningApi
from support.stored import SECOND, STALE_TIMEOUT, Stored
from support.tcp_proxy import proxy_to
from support.waiting import eventually_async

UUID_TEXT = "4c4c4544-0042-4b10-8057-b6c04f4d3432"


async def signs(api: RunningApi) -> list[tuple[int, str]]:
    """Signs of life so far: vmid and why the report was not taken."""
    found = await api.sql(
        "SELECT v.vmid, r.reason FROM report_rejection r JOIN vm v ON v.id = r.vm_id ORDER BY 1"
    )
    return [(vmid, reason) for vmid, reason in found]


async def one_sign(api: RunningApi) -> tuple[int, str]:
    async def found() -> list[tuple[int, str]]:
        return await signs(api)

    (sign,) = await eventually_async(found, what="the sign of life is written")
    return sign


async def nothing_written(api: RunningApi) -> None:
    """A later sign has been written, and still there is no other."""
    await api.report(vmid=999, hostname="later")
    assert (await api.send({"vmid": 999})).status_code == 400
    assert (await one_sign(api))[0] == 999


async def test_a_report_with_a_wrong_field(api: RunningApi) -> None:
    await api.report()
    assert (await api.report(cpuUsage=900)).status_code == 400
    assert await one_sign(api) == (100, "a report could not be read (400)")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TooManyOfOneVM(), 429),
        (BacklogFull(), 503),
        (DatabaseAway("gone"), 503),
    ],
)
async def test_a_report_that_was_shed(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    await api.report()

    async def refuse(_: object) -> None:
        raise error

    monkeypatch.setattr(api.services.writer, "store", refuse)
    assert (await api.report()).status_code == status
    vmid, reason = await one_sign(api)
    assert (vmid, f"({status})" in reason) == (100, True)


async def test_a_report_whose_values_the_database_refused(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.report()

    async def refuse(_: object) -> Outcome:
        return Outcome.REFUSED

    monkeypatch.setattr(api.services.writer, "store", refuse)
    assert (await api.report()).status_code == 500
    assert (await one_sign(api))[0] == 100


@pytest.mark.parametrize("column", ["revoked_at", "expires_at"])
async def test_a_report_under_a_key_that_was_revoked_or_has_expired(
    api: RunningApi, column: str
) -> None:
    await api.report()
    await api.sql(f"UPDATE api_token SET {column} = defib_now() WHERE kind = 'agent'")

    async def sign() -> list[tuple[int, str]]:
        await api.report()
        return await signs(api)

    found = await eventually_async(sign, what="a sign of life", deadline_seconds=20)
    assert found == [(100, "its key was revoked or has expired")]
    assert (await api.report()).status_code == 401


async def test_the_reports_it_accepts_are_none(api: RunningApi) -> None:
    for _ in range(3):
        assert (await api.report()).status_code == 200
    await nothing_written(api)


async def test_nobodys_key_keeps_a_vm_from_its_reset(api: RunningApi) -> None:
    await api.report()
    admin = await api.new_token(TokenKind.ADMIN, "bob")
    for key in ("unknown", admin, ""):
        answer = await api.send({"vmid": 100}, **{"X-API-Key": key})
        assert answer.status_code == 401
    await nothing_written(api)


async def test_a_retired_administrators_token_is_none_either(api: RunningApi) -> None:
    await api.report()
    admin = await api.new_token(TokenKind.ADMIN, "bob")
    await api.sql("UPDATE api_token SET revoked_at = defib_now() WHERE name = 'bob'")

    async def refused() -> bool:
        return (await api.send({"vmid": 100}, **{"X-API-Key": admin})).status_code == 401

    await eventually_async(refused, what="it is refused")
    await nothing_written(api)


async def test_no_vm_is_made_of_a_refused_report(api: RunningApi) -> None:
    await api.report()
    await api.report(vmid=555, cpuUsage=900)
    await nothing_written(api)
    assert await api.sql("SELECT count(*) FROM vm WHERE vmid = 555") == [(0,)]


async def test_a_key_of_another_cluster_speaks_of_its_own_vms_only(stored: Stored) -> None:
    vm_id = await stored.down_vm(vmid=100)
    berlin = await stored.value(
        "INSERT INTO proxmox_cluster (namespace, name) VALUES ('defib', 'berlin') RETURNING id"
    )
    await reject(stored, cluster_id=berlin)
    assert await stored.value("SELECT count(*) FROM report_rejection") == 0

    await reject(stored)
    assert isinstance(await verdict_on(stored, vm_id), Hold)


# who sent it


@pytest.mark.parametrize(
    ("body", "vmid", "uuid"),
    [
        ({"vmid": 100, "cpuUsage": "lots"}, 100, None),
        ({"vmid": "100"}, 100, None),
        ({"smbiosUuid": UUID_TEXT.upper()}, None, UUID_TEXT),
        ({"vmid": 100, "smbiosUuid": UUID_TEXT}, 100, UUID_TEXT),
    ],
)
def test_a_broken_report_still_says_who_sent_it(
    body: dict[str, Any], vmid: int | None, uuid: str | None
) -> None:
    sender = sender_of(7, json.dumps(body).encode())
    assert sender is not None
    assert (sender.cluster_id, sender.vmid, sender.smbios_uuid) == (7, vmid, uuid)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"100",
        b"\xff",
        b"{}",
        b'{"vmid": 7}',
        b'{"vmid": true}',
        b'{"vmid": 100.5}',
        b'{"vmid": "1e3"}',
        b'{"vmid": [100]}',
        b'{"smbiosUuid": 5}',
        b'{"smbiosUuid": "x"}',
        b'{"smbiosUuid": "%s"}' % str(UUID(int=0)).encode(),
    ],
)
def test_what_does_not_say_who_sent_it_is_nobodys(body: bytes) -> None:
    assert sender_of(7, body) is None


# how often, and how many


class Time:
    """A monotonic clock in the test's hand."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def note(gathered: Rejections, vmid: int) -> None:
    gathered._keep(rejections.sender_of(1, json.dumps({"vmid": vmid}).encode()), "x")


async def times(api: RunningApi) -> list[Any]:
    return [at for (at,) in await api.sql("SELECT at FROM report_rejection")]


async def test_a_vm_is_written_at_most_once_in_ten_seconds(api: RunningApi) -> None:
    await api.report()
    engine, time = make_engine(api.database_url, application="tests"), Time()
    gathered = Rejections(engine, monotonic=time)

    async def note_after(seconds: float) -> list[Any]:
        time.now += seconds
        note(gathered, 100)
        await gathered.flush()
        return await times(api)

    first = await note_after(0)
    assert await note_after(5) == first
    assert await note_after(4.9) == first
    # Its own clock says that ten seconds have passed; the database, as for another replica, not.
    assert await note_after(0.2) == first
    await api.sql("UPDATE report_rejection SET at = at - interval '11 s'")
    assert await note_after(EVERY.total_seconds()) >= first
    assert len(gathered._written) == 1
    await engine.dispose()


async def test_what_waited_is_written_with_its_own_time(api: RunningApi) -> None:
    await api.report()
    engine, time = make_engine(api.database_url, application="tests"), Time()
    gathered = Rejections(engine, monotonic=time)
    note(gathered, 100)
    time.now += 60
    await gathered.flush()
    await engine.dispose()
    (age,) = await api.sql("SELECT now() - at FROM report_rejection")
    assert timedelta(seconds=59) < age[0] < timedelta(seconds=70)


async def test_while_the_database_is_away_they_are_kept(api: RunningApi) -> None:
    await api.report()
    async with proxy_to(api.database_url) as proxy:
        engine = make_engine(proxy.in_front_of(api.database_url), application="tests")
        gathered = Rejections(engine)
        note(gathered, 100)
        await proxy.close()
        with pytest.raises(rejections.DATABASE_ERRORS):
            await gathered.flush()
        await engine.dispose()
    gathered._engine = make_engine(api.database_url, application="tests")
    await gathered.flush()
    await gathered._engine.dispose()
    assert await signs(api) == [(100, "x")]


async def test_a_flood_of_senders_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rejections, "MOST", 3)
    engine = make_engine("postgresql://nobody@127.0.0.1:1/none", application="tests")
    gathered = Rejections(engine)
    for vmid in range(100, 110):
        note(gathered, vmid)
    await engine.dispose()
    assert [sender.vmid for sender in gathered._waiting] == [107, 108, 109]


# what it does


async def reject(stored: Stored, **changes: Any) -> None:  # noqa: ANN401 - any field
    given = {
        "cluster_id": await stored.cluster_id(),
        "vmid": 100,
        "smbios_uuid": None,
        "reason": "its key was revoked or has expired",
        "age": timedelta(0),
    }
    await record_rejections(stored.connection, [Rejection(**(given | changes))], stored.now)


async def test_it_holds_the_reset_for_one_stale_timeout(stored: Stored) -> None:
    vm_id = await stored.down_vm(vmid=100)
    await reject(stored)

    held = await verdict_on(stored, vm_id)
    assert isinstance(held, Hold)
    assert held.reason is HoldReason.REPORTS_REJECTED
    assert "its key was revoked" in held.message

    await stored.move(STALE_TIMEOUT - SECOND)
    assert isinstance(await verdict_on(stored, vm_id), Hold)
    await stored.move(SECOND)
    await sweep_once(stored)
    assert not isinstance(await verdict_on(stored, vm_id), Hold)


async def test_a_vm_is_found_by_its_smbios_uuid_where_it_sends_no_vmid(stored: Stored) -> None:
    vm_id = await stored.down_vm(vmid=100)
    await stored.execute(
        "UPDATE vm SET smbios_uuid = :uuid WHERE id = :vm", uuid=UUID_TEXT, vm=vm_id
    )
    await reject(stored, vmid=None, smbios_uuid=UUID_TEXT)

    assert isinstance(await verdict_on(stored, vm_id), Hold)


async def test_many_at_once_are_one_statement_and_strangers_are_passed_over(
    stored: Stored,
) -> None:
    cluster = await stored.cluster_id()
    vms = [await stored.down_vm() for _ in range(5)]
    vmids = [(await stored.record(vm_id)).vmid for vm_id in vms]
    rejected = [
        Rejection(cluster, vmid, None, "x", timedelta(0)) for vmid in (*vmids, *vmids, 424242)
    ]
    await record_rejections(stored.connection, rejected, stored.now)
    assert await stored.value("SELECT count(*) FROM report_rejection") == 5
