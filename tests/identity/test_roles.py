"""Each operation needs a role; what a role does not reach is refused, and nothing is done."""

from typing import Any

import pytest

from defib_api.app import dashboard_app
from defib_api.openapi import operations
from defib_api.rights import NEEDED, OPEN, needed_for
from defib_core.domain.roles import Role
from identity.machines import Site
from support.waiting import eventually_async

OPERATIONS = [
    (path, method, operation["operationId"])
    for path, method, operation in operations(dashboard_app(None).openapi())
]


def test_no_operation_is_without_a_role() -> None:
    known = NEEDED.keys() | OPEN.keys()
    assert {name for _, _, name in OPERATIONS} - known == set(), "give each a role in rights.py"
    assert NEEDED.keys() & OPEN.keys() == set()


def test_what_is_not_in_the_table_needs_an_administrator() -> None:
    assert needed_for("somethingNew") is Role.ADMINISTRATOR
    assert needed_for(None) is Role.ADMINISTRATOR


def test_whatever_changes_something_needs_more_than_a_viewer() -> None:
    changing = {name for _, method, name in OPERATIONS if method != "get"} - OPEN.keys()
    assert {name for name in changing if NEEDED[name] is Role.VIEWER} == {"endSession"}


@pytest.mark.parametrize(
    ("has", "reaches"),
    [
        (Role.VIEWER, [Role.VIEWER]),
        (Role.OPERATOR, [Role.VIEWER, Role.OPERATOR]),
        (Role.ADMINISTRATOR, list(Role)),
    ],
)
def test_a_role_may_do_what_those_below_it_may(has: Role, reaches: list[Role]) -> None:
    assert [role for role in Role if has.may(role)] == reaches


async def person(site: Site, role: str) -> dict[str, str]:
    made = await site.change("POST", "/api/tokens", {"name": f"a-{role}", "role": role})
    assert made.status_code == 200, made.text
    return {"Authorization": f"Bearer {made.json()['token']}"}


async def test_on_each_operation_the_role_is_enforced(site: Site) -> None:
    headers = {role: await person(site, role) for role in Role}
    wrong: list[Any] = []
    for path, method, name in OPERATIONS:
        if name in OPEN or name == "endSession":
            continue
        address = path.format(
            vm_id="vm_9", reset_id="reset_9", window_id="x", token_id="x", session_id="x"
        )
        for role in Role:
            # Events never end: only the status is looked at.
            async with site.api.http.stream(method, address, headers=headers[role]) as answer:
                status = answer.status_code
            if (status == 403) == role.may(NEEDED[name]) or status == 401:
                wrong.append((name, role, status))
    assert wrong == []


async def test_an_operator_may_reset_and_only_an_administrator_may_force(site: Site) -> None:
    await site.api.report()
    headers = await person(site, "operator")
    forced = await site.api.http.post(
        "/api/vms/vm_1/reset", json={"reason": "x", "force": True}, headers=headers
    )
    assert forced.status_code == 403
    assert forced.json()["message"] == "a-operator is operator here, and this needs administrator"
    assert await site.api.sql("SELECT count(*) FROM reset_history") == [(0,)]


async def test_a_personal_token_ends_by_time_and_by_hand(site: Site) -> None:
    expiring, revoked = await person(site, "viewer"), await person(site, "operator")
    listed = (await site.api.get("/api/tokens")).json()
    assert [one["role"] for one in listed] == ["operator", "viewer"]
    await site.change("DELETE", f"/api/tokens/{listed[0]['id']}")
    await site.api.sql("UPDATE personal_token SET expires_at = defib_now() WHERE role = 'viewer'")

    async def both_refused() -> bool:
        answers = [
            await site.api.http.get("/api/status", headers=one) for one in (expiring, revoked)
        ]
        return [one.status_code for one in answers] == [401, 401]

    await eventually_async(both_refused, what="both tokens are refused")


async def test_an_agents_token_opens_nothing(site: Site) -> None:
    mine = await site.enrol(vmid=100)
    headers = {"Authorization": f"Bearer {mine['token']}"}
    assert (await site.api.http.get("/api/status", headers=headers)).status_code == 401


async def test_a_persons_token_reports_nothing(site: Site) -> None:
    headers = await person(site, "administrator")
    answer = await site.report(headers["Authorization"].removeprefix("Bearer "), vmid="100")
    assert answer.status_code == 401
