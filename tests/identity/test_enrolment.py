"""A machine shows an enrolment token and gets a token of its own, within the token's bounds."""

import pytest

from defib_api.attempts import ADDRESSES_MOST, MOST, FailedAttempts
from identity.machines import UUID_A, UUID_B, Site
from support.tokens import secret_of


async def test_a_machine_gets_a_token_that_reports_for_its_vm(site: Site) -> None:
    enrolled = await site.enrol(vmid="100", smbiosUuid=UUID_A, node="pve1", bootId="b1")
    assert enrolled | {"token": "", "tokenId": ""} == {
        "success": True,
        "token": "",
        "tokenId": "",
        "vmId": "vm_1",
        "cluster": "default",
        "vmid": "100",
        "node": "pve1",
        "reportIntervalSeconds": 30,
    }
    assert (await site.report(enrolled["token"])).status_code == 200
    vm = (await site.api.get("/api/vms/vm_1")).json()
    assert (vm["vmid"], vm["hostname"], vm["health"]) == ("100", "web-01", "healthy")


async def test_no_token_is_kept(site: Site) -> None:
    made = await site.enrolment()
    enrolled = (await site.try_to_enrol(made["token"], vmid=100)).json()
    for table in ("enrolment_token", "agent_token", "audit"):
        kept = str(await site.api.sql(f"SELECT t::text FROM {table} t"))
        assert secret_of(made["token"]) not in kept
        assert secret_of(enrolled["token"]) not in kept


async def test_neither_header_nor_a_wrong_token_gets_in(site: Site) -> None:
    missing = await site.api.http.post("/api/enroll", json={"hostname": "a", "vmid": 100})
    assert (missing.status_code, "X-Enrolment-Token" in missing.text) == (401, True)
    assert (await site.try_to_enrol("defib_enrol_wrong", vmid=100)).status_code == 401
    assert (await site.try_to_enrol(site.api.admin_token, vmid=100)).status_code == 401


async def test_a_token_is_used_as_often_as_it_says(site: Site) -> None:
    made = await site.enrolment(uses=2)
    for vmid in (100, 101):
        assert (await site.try_to_enrol(made["token"], vmid=vmid)).status_code == 200
    refused = await site.try_to_enrol(made["token"], vmid=102)
    assert refused.status_code == 401
    assert "is used up: it was for 2 uses" in refused.json()["message"]


async def test_an_expired_or_revoked_token_lets_nobody_in(site: Site) -> None:
    expired, revoked = await site.enrolment(), await site.enrolment(name="other")
    await site.api.sql("UPDATE enrolment_token SET expires_at = defib_now() WHERE name = 'rack-7'")
    assert (
        await site.change("DELETE", f"/api/enrolment-tokens/{revoked['id']}")
    ).status_code == 200
    for made, word in ((expired, "has expired"), (revoked, "was revoked")):
        answer = await site.try_to_enrol(made["token"], vmid=100)
        assert (answer.status_code, word in answer.json()["message"]) == (401, True)


async def test_a_token_for_some_vmids_refuses_others(site: Site) -> None:
    made = await site.enrolment(uses=9, vmidFrom=100, vmidTo=109)
    assert (await site.try_to_enrol(made["token"], vmid=109)).status_code == 200
    refused = await site.try_to_enrol(made["token"], vmid=110)
    assert refused.status_code == 403
    assert refused.json()["message"] == (
        "the enrolment token rack-7 is for VMs 100 to 109, not for VM 110"
    )
    unknown = await site.try_to_enrol(made["token"], smbiosUuid=UUID_A)
    assert (unknown.status_code, unknown.headers["retry-after"]) == (503, "15")


async def test_a_token_for_labelled_vms_refuses_others(site: Site) -> None:
    await site.api.report(vmid=100)
    await site.api.report(vmid=101)
    await site.api.sql("""UPDATE vm SET labels = '{"rack": "r7"}' WHERE vmid = 100""")
    made = await site.enrolment(uses=9, matchLabels={"rack": "r7"})
    assert (await site.try_to_enrol(made["token"], vmid=100)).status_code == 200
    for vmid in (101, 102):
        refused = await site.try_to_enrol(made["token"], vmid=vmid)
        assert (refused.status_code, "labelled rack=r7" in refused.text) == (403, True)


async def test_a_vmid_that_is_another_machines_in_proxmox_is_refused(site: Site) -> None:
    await site.api.report(vmid=100)
    await site.api.sql("UPDATE vm SET pinned_uuid = %s", UUID_A)
    made = await site.enrolment(uses=9)
    refused = await site.try_to_enrol(made["token"], vmid=100, smbiosUuid=UUID_B)
    assert refused.status_code == 403
    assert UUID_B in refused.json()["message"]
    silent = await site.try_to_enrol(made["token"], vmid=100)
    assert silent.status_code == 403, "who says none may be anybody"
    assert UUID_A not in refused.text + silent.text, "it would only have to be repeated"
    assert await site.api.sql("SELECT hostname FROM vm") == [("web-server-01",)]


async def test_the_same_machine_enrols_again_and_its_old_token_ends(site: Site) -> None:
    first = await site.enrol(vmid=100, smbiosUuid=UUID_A)
    assert (await site.report(first["token"])).status_code == 200
    second = await site.enrol(vmid=100, smbiosUuid=UUID_A)
    assert second["vmId"] == first["vmId"]
    assert (await site.report(second["token"])).status_code == 200
    in_force = await site.api.sql("SELECT count(*) FROM agent_token WHERE revoked_at IS NULL")
    assert in_force == [(1,)]


async def test_another_machine_cannot_take_the_place_of_one_that_reports(site: Site) -> None:
    first = await site.enrol(vmid=100, smbiosUuid=UUID_A)
    assert (await site.report(first["token"])).status_code == 200
    made = await site.enrolment(uses=9)
    taken = await site.try_to_enrol(made["token"], vmid=100, smbiosUuid=UUID_B, hostname="thief")
    assert taken.status_code == 409
    assert f"defib token revoke {first['tokenId']}" in taken.json()["message"]
    assert await site.api.sql("SELECT hostname, uses FROM vm, enrolment_token WHERE uses = 0") == [
        ("web-01", 0)
    ]
    await site.change("DELETE", f"/api/agent-tokens/{first['tokenId']}")
    again = await site.try_to_enrol(made["token"], vmid=100, smbiosUuid=UUID_B)
    assert again.status_code == 200


async def test_a_machine_that_has_fallen_silent_may_be_replaced(site: Site) -> None:
    first = await site.enrol(vmid=100)
    assert (await site.report(first["token"])).status_code == 200
    await site.api.sql("UPDATE vm_state SET last_heartbeat = defib_now() - interval '2 minutes'")
    await site.enrol(vmid=100)


@pytest.mark.parametrize(
    ("machine", "field"),
    [
        ({}, "body"),
        ({"vmid": 5}, "vmid"),
        ({"vmid": 100, "hostname": "no such name"}, "hostname"),
        ({"vmid": 100, "smbiosUuid": "x"}, "smbiosUuid"),
        ({"vmid": 100, "bootId": "a b"}, "bootId"),
        ({"smbiosUuid": "00000000-0000-0000-0000-000000000000"}, "body"),
    ],
)
async def test_a_field_that_is_wrong_is_named(
    site: Site, machine: dict[str, object], field: str
) -> None:
    made = await site.enrolment()
    answer = await site.try_to_enrol(made["token"], **machine)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_who_guesses_is_slowed_down(site: Site) -> None:
    for _ in range(MOST):
        assert (await site.try_to_enrol("wrong", vmid=100)).status_code == 401
    slowed = await site.try_to_enrol("wrong", vmid=100)
    assert slowed.status_code == 429
    assert 0 < int(slowed.headers["retry-after"]) <= 61


async def test_a_crowd_that_enrols_is_told_to_come_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take few connections, and the line before those is bounded."""
    made = await site.enrolment()
    monkeypatch.setattr(site.api.services.enrolling, "_most", 0)
    later = await site.try_to_enrol(made["token"], vmid=100)
    assert (later.status_code, later.headers["retry-after"]) == (503, "5")
    monkeypatch.undo()
    assert (await site.try_to_enrol(made["token"], vmid=100)).status_code == 200


def test_failures_are_forgotten_after_a_minute_and_bounded() -> None:
    now = 0.0
    attempts = FailedAttempts(monotonic=lambda: now)
    for _ in range(MOST):
        assert attempts.wait("a") == 0
        attempts.failed("a")
    assert attempts.wait("a") == 61
    assert attempts.wait("b") == 0
    now = 60.0
    assert attempts.wait("a") == 0
    for number in range(ADDRESSES_MOST + 5):
        attempts.failed(str(number))
    assert len(attempts._by_address) == ADDRESSES_MOST


async def test_enrolments_are_in_the_audit_log(site: Site) -> None:
    await site.enrol(vmid=100, smbiosUuid=UUID_A)
    lines = (await site.api.get("/api/audit")).json()
    assert [(line["action"], line["actor"]) for line in lines] == [
        ("Enrol", "enrolment token rack-7"),
        ("CreateEnrolmentToken", "alice"),
    ]
