"""A VM's token reports for that VM and for no other; what it is refused is a sign of life."""

from typing import Any

import pytest

from defib_api.ingest.belonging import contradiction
from defib_core.store.tokens import BoundTo
from identity.machines import TURNED_A, UUID_A, UUID_B, Site
from support.running_api import SEED_REPORT, running_api
from support.waiting import eventually_async


async def signs(site: Site) -> list[Any]:
    """VMs that are alive though they are not heard, and why."""
    found = await site.api.sql(
        "SELECT v.vmid, r.reason FROM report_rejection r JOIN vm v ON v.id = r.vm_id ORDER BY 1"
    )
    return list(found)


async def one_sign(site: Site) -> tuple[int, str]:
    async def found() -> list[Any]:
        return await signs(site)

    (sign,) = await eventually_async(found, what="the sign of life is written")
    return sign[0], sign[1]


async def test_another_vmid_is_refused_and_both_are_named(site: Site) -> None:
    await site.api.report(vmid=200)
    mine = await site.enrol(vmid=100, smbiosUuid=UUID_A)
    refused = await site.report(mine["token"], vmid="200", hostname="web-02")
    assert refused.status_code == 403
    assert "this token belongs to VM 100 (web-01), and the report is for VM 200" in refused.text


async def test_no_guest_keeps_another_vm_from_its_reset(site: Site) -> None:
    """A vmid anybody can name: it is a sign of life only where the machine's UUID says so."""
    await site.api.report(vmid=200, smbiosUuid=UUID_B)
    await site.api.sql("UPDATE vm SET pinned_uuid = smbios_uuid")
    mine = await site.enrol(vmid=100, smbiosUuid=UUID_A)
    for body in ({"vmid": 200}, {"vmid": 200, "smbiosUuid": UUID_A}):
        assert (await site.report(mine["token"], **body)).status_code == 403
        batch = {"reports": [{**SEED_REPORT, **body}]}
        headers = {"X-API-Key": mine["token"]}
        answer = await site.api.http.post("/api/health/reports", json=batch, headers=headers)
        assert answer.json()["rejected"][0]["status"] == 403
    await site.change("DELETE", f"/api/agent-tokens/{mine['tokenId']}")

    async def is_refused() -> bool:
        return (await site.report(mine["token"], vmid=200)).status_code == 401

    await eventually_async(is_refused, what="the token is revoked")
    assert (await site.api.report(vmid=999, hostname="later")).status_code == 200
    assert (await site.api.report(vmid=999, hostname="later", cpuUsage=900)).status_code == 400

    async def later_is_written() -> bool:
        return 999 in [vmid for vmid, _ in await signs(site)]

    await eventually_async(later_is_written, what="a later sign is written")
    assert 200 not in [vmid for vmid, _ in await signs(site)]


async def test_who_has_anothers_token_and_its_own_uuid_is_alive(site: Site) -> None:
    await site.api.report(vmid=200, smbiosUuid=UUID_B)
    await site.api.sql("UPDATE vm SET pinned_uuid = smbios_uuid")
    mine = await site.enrol(vmid=100, smbiosUuid=UUID_A)
    refused = await site.report(mine["token"], vmid=200, smbiosUuid=UUID_B)
    assert refused.status_code == 403
    assert await one_sign(site) == (200, "a report came under a token that is not its own (403)")


async def test_a_token_of_a_machine_not_found_yet_speaks_of_no_other(site: Site) -> None:
    await site.api.report(vmid=200)
    mine = await site.enrol(smbiosUuid=UUID_A)
    assert (await site.report(mine["token"], vmid=200, cpuUsage=900)).status_code == 400
    await site.api.report(vmid=999, hostname="later", cpuUsage=20)
    assert (await site.api.report(vmid=999, hostname="later", cpuUsage=900)).status_code == 400
    assert (await one_sign(site))[0] == 999


async def test_a_copy_with_another_uuid_is_refused_and_named(site: Site) -> None:
    mine = await site.enrol(vmid=100, smbiosUuid=UUID_A)
    assert (await site.report(mine["token"], smbiosUuid=UUID_A.upper())).status_code == 200
    copy = await site.report(mine["token"], smbiosUuid=UUID_B)
    assert copy.status_code == 403
    assert "is it a copy?" in copy.json()["message"]


async def test_a_copys_reports_do_not_keep_the_original_from_its_reset(site: Site) -> None:
    mine = await site.enrol(vmid=100, smbiosUuid=UUID_A)
    await site.api.sql("UPDATE vm SET pinned_uuid = smbios_uuid")
    assert (await site.report(mine["token"], vmid=100, smbiosUuid=UUID_B)).status_code == 403
    other = await site.enrol(vmid=101, smbiosUuid=UUID_B)
    assert (await site.report(other["token"], cpuUsage=900)).status_code == 400
    assert (await one_sign(site))[0] == 101


async def test_a_revoked_token_is_refused_and_shows_that_its_vm_is_alive(site: Site) -> None:
    mine = await site.enrol(vmid=100)
    assert (await site.report(mine["token"])).status_code == 200
    await site.change("DELETE", f"/api/agent-tokens/{mine['tokenId']}")

    async def is_refused() -> bool:
        return (await site.report(mine["token"])).status_code == 401

    await eventually_async(is_refused, what="the revoked token is refused")

    async def shows_life() -> bool:
        await site.report(mine["token"])
        return bool(await signs(site))

    await eventually_async(shows_life, what="its reports are signs of life")
    assert await one_sign(site) == (100, "its key was revoked or has expired")


async def test_a_rotated_token_and_the_one_before_work_side_by_side(site: Site) -> None:
    mine = await site.enrol(vmid=100)
    path = f"/api/agent-tokens/{mine['tokenId']}/rotate"
    rotated = (await site.change("POST", path, {"graceSeconds": 600})).json()
    for token in (mine["token"], rotated["token"]):
        assert (await site.report(token)).status_code == 200
    assert (await site.change("POST", path, {})).status_code == 404, "it has been rotated"
    at_once = f"/api/agent-tokens/{rotated['id']}/rotate"
    third = (await site.change("POST", at_once, {"graceSeconds": 0})).json()
    assert (await site.report(third["token"])).status_code == 200

    async def is_refused() -> bool:
        return (await site.report(rotated["token"])).status_code == 401

    await eventually_async(is_refused, what="the token without grace is refused")


async def test_shared_keys_can_be_switched_off(database_url: str) -> None:
    async with running_api(database_url, None) as api:
        assert (await api.report()).status_code == 200
    async with running_api(database_url, None, shared_agent_keys=False) as api:
        refused = await api.report()
        assert refused.status_code == 403
        assert "enrol this machine" in refused.json()["message"]
        site = Site(api)
        assert await one_sign(site) == (
            100,
            "a report came under a token that is not its own (403)",
        )
        mine = await site.enrol(vmid=101)
        assert (await site.report(mine["token"])).status_code == 200


async def test_the_tokens_in_force_are_listed(site: Site) -> None:
    mine = await site.enrol(vmid=100, smbiosUuid=UUID_A)
    listed = (await site.api.get("/api/agent-tokens")).json()
    assert [(one["kind"], one["name"], one["vmid"]) for one in listed] == [
        ("shared", "tests", None),
        ("vm", "web-01", "100"),
    ]
    assert listed[1]["id"] == mine["tokenId"]
    assert await site.api.get("/api/agent-tokens", vm="vm_1") is not None
    assert "sha256" not in str(listed)
    revoked = await site.change("DELETE", f"/api/agent-tokens/{listed[0]['id']}")
    assert revoked.status_code == 200
    left = (await site.api.get("/api/agent-tokens")).json()
    assert [one["kind"] for one in left] == ["vm"]
    assert (await site.change("DELETE", "/api/agent-tokens/agent_token_99")).status_code == 404


async def test_a_machine_known_by_its_uuid_alone_is_bound_once_it_is_found(site: Site) -> None:
    mine = await site.enrol(smbiosUuid=UUID_A)
    assert (mine["vmId"], mine["vmid"]) == (None, None)
    early = await site.report(mine["token"])
    assert (early.status_code, early.headers["retry-after"]) == (503, "15")
    await site.api.sql("UPDATE sought_machine SET vmid = 100, found_at = defib_now()")
    assert (await site.report(mine["token"], vmid=200)).status_code == 403
    assert (await site.report(mine["token"])).status_code == 200
    bound = await site.api.sql(
        "SELECT v.vmid, v.smbios_uuid::text FROM agent_token t JOIN vm v ON v.id = t.vm_id"
    )
    assert bound == [(100, UUID_A)]


async def test_a_token_of_a_vm_works_on_firmware_that_turns_the_uuid_round(site: Site) -> None:
    await site.api.report(vmid=100, hostname="web-01")
    await site.api.sql(f"UPDATE vm SET pinned_uuid = '{UUID_A}'")
    mine = await site.enrol(vmid=100, smbiosUuid=TURNED_A)
    for uuid in (TURNED_A, UUID_A):
        assert (await site.report(mine["token"], vmid=100, smbiosUuid=uuid)).status_code == 200
    assert (await site.report(mine["token"], smbiosUuid=UUID_B)).status_code == 403


BOUND = BoundTo(7, "web-01", 100, None, UUID_A)


@pytest.mark.parametrize(
    ("vmid", "uuid", "refused"),
    [
        (None, None, False),
        (100, None, False),
        (None, UUID_A, False),
        (100, UUID_A, False),
        (None, TURNED_A, False),
        (100, TURNED_A, False),
        (101, UUID_A, True),
        (101, TURNED_A, True),
        (100, UUID_B, True),
        (None, UUID_B, True),
    ],
)
def test_what_a_token_vouches_for(vmid: int | None, uuid: str | None, *, refused: bool) -> None:
    assert (contradiction(BOUND, vmid, uuid) is not None) is refused
