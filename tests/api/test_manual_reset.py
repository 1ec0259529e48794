"""`POST /api/vms/{id}/reset`: every way it can end."""

import asyncio
from typing import Any

import pytest

from defib_core.domain.actions import Phase
from support.running_api import RunningApi, running_api
from support.stand_in_operator import cancels, finishes, operator_that

SHORT_SECONDS = 0.3


async def history(api: RunningApi) -> list[dict[str, Any]]:
    """The one VM's history."""
    lines: list[dict[str, Any]] = (await api.get("/api/vms/vm_1/reset-history")).json()
    return lines


async def test_a_reset_that_proxmox_does_is_answered_as_in_the_seed(api: RunningApi) -> None:
    await api.report()
    async with operator_that(api.database_url, finishes(Phase.SUCCEEDED, None)):
        answer = await api.ask_reset("vm_1")
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "message": "Reset command sent to web-server-01",
        "resetAttempts": 1,
    }
    (line,) = await history(api)
    assert (line["success"], line["reason"]) == (True, "Manual reset via dashboard")
    assert (line["actor"], line["source"], line["upid"]) == ("alice", "api", "UPID:test")
    assert (await api.get("/api/vms/vm_1")).json()["resetPending"] is True


async def test_a_reset_that_proxmox_fails_is_a_500_with_its_words(api: RunningApi) -> None:
    await api.report()
    words = "VM is locked (migrate)"
    async with operator_that(api.database_url, finishes(Phase.FAILED, words)):
        answer = await api.ask_reset("vm_1")
    assert answer.status_code == 500
    assert answer.json() == {
        "success": False,
        "message": f"Proxmox did not reset web-server-01: {words}",
        "proxmoxError": words,
        "resetId": "reset_1",
    }
    (line,) = await history(api)
    assert (line["success"], line["error"]) == (False, words)


async def test_an_unknown_outcome_is_a_500_that_warns_of_asking_again(api: RunningApi) -> None:
    await api.report()
    async with operator_that(api.database_url, finishes(Phase.UNKNOWN, "read timeout")):
        answer = await api.ask_reset("vm_1")
    assert answer.status_code == 500
    assert "is not known" in answer.json()["message"]
    assert (await history(api))[0]["success"] is None


async def test_a_held_reset_is_a_409_with_the_reason(api: RunningApi) -> None:
    await api.report()
    held = cancels("VMLocked", "a backup of VM 100 is running (lock: backup)")
    async with operator_that(api.database_url, held):
        answer = await api.ask_reset("vm_1")
    assert answer.status_code == 409
    assert answer.json() == {
        "success": False,
        "message": "web-server-01 was not reset: a backup of VM 100 is running (lock: backup)",
        "reason": "VMLocked",
        "resetId": "reset_1",
    }


async def test_a_dry_run_is_not_called_a_success(api: RunningApi) -> None:
    await api.report()
    async with operator_that(api.database_url, finishes(Phase.DRY_RUN, None)):
        answer = await api.ask_reset("vm_1")
    assert (answer.status_code, answer.json()["reason"]) == (409, "DryRun")


async def test_a_reset_nobody_takes_up_is_a_202_that_says_where_to_look(
    database_url: str, redis_url: str
) -> None:
    async with running_api(database_url, redis_url, manual_reset_wait_seconds=SHORT_SECONDS) as api:
        await api.report()
        answer = await api.ask_reset("vm_1")
        assert answer.status_code == 202
        assert answer.json() == {
            "success": None,
            "message": "The reset of web-server-01 is under way; look again at /api/resets/reset_1",
            "resetId": "reset_1",
            "href": "/api/resets/reset_1",
        }
        looked = (await api.get(answer.json()["href"])).json()
        assert (looked["phase"], looked["success"], looked["sentAt"]) == ("requested", None, None)

        again = await api.ask_reset("vm_1")
        assert again.status_code == 409
        assert again.json() == {
            "success": False,
            "message": "another reset of web-server-01 is not finished yet",
            "reason": "ResetInProgress",
            "resetId": "reset_1",
        }


async def test_the_same_key_follows_the_first_request(api: RunningApi) -> None:
    await api.report()
    headers = {**api.admin, "Idempotency-Key": "click-1"}
    body = {"reason": "stuck"}
    async with operator_that(api.database_url, finishes(Phase.SUCCEEDED, None)):
        first = await api.http.post("/api/vms/vm_1/reset", json=body, headers=headers)
        second = await api.http.post("/api/vms/vm_1/reset", json=body, headers=headers)
    assert first.json() == second.json()
    assert len(await history(api)) == 1


async def test_two_people_at_once_make_one_reset(api: RunningApi) -> None:
    await api.report()
    asked = {asyncio.create_task(api.ask_reset("vm_1")) for _ in range(2)}
    refused, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    async with operator_that(api.database_url, finishes(Phase.SUCCEEDED, None)):
        sent = await asyncio.gather(*waiting)
    assert [task.result().status_code for task in refused] == [409]
    assert [answer.status_code for answer in sent] == [200]
    assert len(await history(api)) == 1


async def test_the_dashboard_and_force_are_written_down(api: RunningApi) -> None:
    await api.report()
    async with operator_that(api.database_url, finishes(Phase.SUCCEEDED, None)):
        await api.http.post(
            "/api/vms/vm_1/reset",
            json={"reason": "  spaces around  ", "force": True},
            headers={**api.admin, "X-Defib-Client": "dashboard"},
        )
    assert await api.sql("SELECT source, forced, reason FROM reset_history") == [
        ("dashboard", True, "spaces around")
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "   "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": 5}, "reason"),
        ({"reason": "x", "force": "maybe"}, "force"),
        ([], "body"),
        ("reason", "body"),
    ],
)
async def test_a_wrong_request_is_a_400_by_field(
    shared_api: RunningApi, body: object, field: str
) -> None:
    await shared_api.report()
    answer = await shared_api.http.post("/api/vms/vm_1/reset", json=body, headers=shared_api.admin)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert await shared_api.sql("SELECT count(*) FROM reset_history") == [(0,)]


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "\x7f"])
async def test_a_wrong_idempotency_key_is_a_400(shared_api: RunningApi, key: str) -> None:
    await shared_api.report()
    answer = await shared_api.http.post(
        "/api/vms/vm_1/reset",
        json={"reason": "x"},
        headers={**shared_api.admin, "Idempotency-Key": key},
    )
    assert answer.status_code == 400
    assert await shared_api.sql("SELECT count(*) FROM reset_history") == [(0,)]


@pytest.mark.parametrize(
    "vm_id", ["vm_999", "vm_0", "vm_01", "999", "vm_", "vm_1x", "vm_" + "9" * 30]
)
async def test_an_unknown_vm_is_a_404(shared_api: RunningApi, vm_id: str) -> None:
    answer = await shared_api.ask_reset(vm_id)
    assert answer.status_code == 404
    assert answer.json()["message"].startswith("there is no VM")
