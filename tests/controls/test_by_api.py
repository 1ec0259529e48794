"""Each control through the API: what it answers, what it writes, and what it refuses."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from defib_api import control_examples as examples
from defib_api.schemas import controls as schemas
from defib_api.schemas.explain import VmExplanation
from defib_core.domain.actions import Phase
from support.running_api import RunningApi, running_api
from support.stand_in_operator import cancels, finishes, operator_that


async def call(
    api: RunningApi, method: str, path: str, body: object = None, **parameters: str
) -> httpx.Response:
    return await api.http.request(
        method, path, json=body, params=parameters, headers={**api.admin, "X-Defib-Client": "cli"}
    )


async def log(api: RunningApi) -> list[dict[str, Any]]:
    """The audit log, newest first."""
    lines: list[dict[str, Any]] = (await api.get("/api/audit")).json()
    return lines


async def vm(api: RunningApi) -> dict[str, Any]:
    shown: dict[str, Any] = (await api.get("/api/vms/vm_1")).json()
    return shown


def later(**by: float) -> str:
    return (datetime.now(UTC) + timedelta(**by)).isoformat()


async def managed(api: RunningApi, vmid: int = 100, **labels: str) -> None:
    """A VM with a VirtualMachine, as the operator mirrors it."""
    await api.report(vmid=vmid, hostname=f"web-{vmid}")
    await api.sql(
        "UPDATE vm SET uid = vmid::text, namespace = 'defib', name = hostname, managed_at = now(),"
        f" labels = '{str(labels).replace(chr(39), chr(34))}' WHERE vmid = {vmid}"
    )


# pauses


async def test_a_pause_until_a_moment(api: RunningApi) -> None:
    await api.report()
    until = later(hours=2)
    answer = await call(
        api, "POST", "/api/vms/vm_1/pause", {"reason": " Kim: disk ", "until": until}
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["changed"] is True
    for words in ("web-server-01 is paused until", "one more full stale timeout"):
        assert words in answer.json()["message"]

    shown = await vm(api)
    assert (shown["paused"], shown["pausedReason"]) == (True, "Kim: disk")
    assert shown["pausedUntil"][:16] == until[:16]
    (line,) = await log(api)
    assert (line["actor"], line["source"], line["action"]) == ("alice", "cli", "Pause")
    assert (line["vmId"], line["hostname"], line["reason"]) == (
        "vm_1",
        "web-server-01",
        "Kim: disk",
    )
    assert line["detail"]["until"][:16] == until[:16]


async def test_a_pause_for_minutes_and_one_without_an_end(api: RunningApi) -> None:
    await api.report()
    await call(api, "POST", "/api/vms/vm_1/pause", {"reason": "x", "minutes": 30})
    until = datetime.fromisoformat((await vm(api))["pausedUntil"])
    assert timedelta(minutes=29) < until - datetime.now(UTC) <= timedelta(minutes=30)

    answer = await call(api, "POST", "/api/vms/vm_1/pause", {"reason": "y"})
    assert "until somebody ends it" in answer.json()["message"]
    shown = await vm(api)
    assert (shown["pausedReason"], shown["pausedUntil"]) == ("y", None)
    ended = await api.sql("SELECT reason, ended_by FROM pause ORDER BY id")
    assert ended == [("x", "alice"), ("y", None)]


async def test_a_pause_is_ended_and_the_clock_starts_anew(api: RunningApi) -> None:
    await api.report()
    await call(api, "POST", "/api/vms/vm_1/pause", {"reason": "x"})
    before = await api.sql("SELECT clock_floor FROM vm_state")
    answer = await call(api, "DELETE", "/api/vms/vm_1/pause", reason="done")

    assert (answer.status_code, answer.json()["changed"]) == (200, True)
    assert (await vm(api))["paused"] is False
    assert (await api.sql("SELECT clock_floor FROM vm_state"))[0][0] > before[0][0]
    assert [(one["action"], one["reason"]) for one in await log(api)] == [
        ("Unpause", "done"),
        ("Pause", "x"),
    ]


async def test_ending_no_pause_changes_nothing(api: RunningApi) -> None:
    await api.report()
    answer = await call(api, "DELETE", "/api/vms/vm_1/pause")
    assert (answer.status_code, answer.json()["changed"]) == (200, False)
    assert await log(api) == []


async def test_a_pause_of_the_spec_is_not_ended_through_the_api(api: RunningApi) -> None:
    await managed(api)
    await api.sql("UPDATE vm SET paused_reason = 'Kim: swap'")
    answer = await call(api, "DELETE", "/api/vms/vm_1/pause")
    assert answer.status_code == 409
    assert answer.json() == {
        "success": False,
        "message": "web-100 is paused by its VirtualMachine (Kim: swap):"
        " remove spec.paused of defib/web-100 to end it",
        "reason": "PausedInSpec",
    }

    await call(api, "POST", "/api/vms/vm_1/pause", {"reason": "by hand"})
    answer = await call(api, "DELETE", "/api/vms/vm_1/pause")
    assert (answer.status_code, answer.json()["changed"]) == (200, True)
    assert "its VirtualMachine still pauses it" in answer.json()["message"]
    assert (await vm(api))["pausedReason"] == "Kim: swap"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"reason": "x", "minutes": 0}, "minutes"),
        ({"reason": "x", "minutes": 600_000}, "minutes"),
        ({"reason": "x", "until": "tomorrow"}, "until"),
        ({"reason": "x", "until": "2030-01-01T00:00:00"}, "until"),
        ({"reason": "x", "until": 1893456000}, "until"),
        ({"reason": "x", "until": "2020-01-01T00:00:00Z"}, "until"),
        ({"reason": "x", "until": "2030-01-01T00:00:00Z", "minutes": 5}, "body"),
        ({"reason": "x", "untill": "2030-01-01T00:00:00Z"}, "untill"),
    ],
)
async def test_a_wrong_pause_is_a_400_by_field(
    shared_api: RunningApi, body: dict[str, Any], field: str
) -> None:
    await shared_api.report()
    answer = await call(shared_api, "POST", "/api/vms/vm_1/pause", body)
    assert answer.status_code == 400, answer.text
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert await shared_api.sql("SELECT count(*) FROM pause") == [(0,)]


# clear


async def test_a_clear_sets_the_counter_back(api: RunningApi) -> None:
    await api.report()
    await api.sql(
        "UPDATE vm_state SET state = 'reset_failed', reset_attempts = 3, last_attempt_at = now()"
    )
    answer = await call(api, "POST", "/api/vms/vm_1/clear", {"reason": "new disk"})

    assert answer.status_code == 200
    assert "3 attempts were counted, 0 are now" in answer.json()["message"]
    shown = await vm(api)
    assert (shown["state"], shown["resetAttempts"]) == ("down", 0)
    (line,) = await log(api)
    assert (line["action"], line["reason"]) == ("Clear", "new disk")


# maintenance windows


async def test_a_window_says_how_many_vms_it_is_for(api: RunningApi) -> None:
    await managed(api, 100, rack="r7")
    await managed(api, 101, rack="r7")
    await managed(api, 102, rack="r8")
    answer = await call(
        api,
        "POST",
        "/api/maintenance",
        {"reason": "Kim: firmware", "matchLabels": {"rack": "r7"}, "minutes": 60, "name": "fw"},
    )
    assert answer.status_code == 200, answer.text
    opened = answer.json()
    assert (opened["vms"], opened["name"]) == (2, "fw")

    (window,) = (await api.get("/api/maintenance")).json()
    assert window["id"] == opened["id"]
    assert window == {
        "id": opened["id"],
        "name": "fw",
        "matchLabels": {"rack": "r7"},
        "from": window["from"],
        "until": window["until"],
        "reason": "Kim: firmware",
        "createdBy": "alice",
        "systemConfig": None,
        "active": True,
        "vms": 2,
    }
    (line,) = await log(api)
    assert (line["action"], line["detail"]["matchLabels"]) == ("OpenMaintenance", {"rack": "r7"})


async def test_a_window_that_is_for_nobody_says_so(api: RunningApi) -> None:
    await managed(api, 100, rack="r7")
    answer = await call(
        api,
        "POST",
        "/api/maintenance",
        {"reason": "x", "matchLabels": {"rack": "R7"}, "minutes": 60},
    )
    assert answer.json()["vms"] == 0
    assert "check their spelling" in answer.json()["message"]
    assert answer.json()["name"].startswith("by-hand-")


async def test_the_same_name_changes_the_window(api: RunningApi) -> None:
    body = {"reason": "x", "matchLabels": {}, "minutes": 60, "name": "fw"}
    first = (await call(api, "POST", "/api/maintenance", body)).json()
    second = (await call(api, "POST", "/api/maintenance", {**body, "reason": "y"})).json()
    assert first["id"] == second["id"]
    (window,) = (await api.get("/api/maintenance")).json()
    assert (window["reason"], window["matchLabels"]) == ("y", {})


async def test_a_window_to_come_is_listed_and_not_active(api: RunningApi) -> None:
    body = {
        "reason": "x",
        "matchLabels": {},
        "from": later(hours=1),
        "until": later(hours=2),
    }
    assert (await call(api, "POST", "/api/maintenance", body)).status_code == 200
    (window,) = (await api.get("/api/maintenance")).json()
    assert window["active"] is False


async def test_a_window_is_ended_by_hand_once(api: RunningApi) -> None:
    body = {"reason": "x", "matchLabels": {}, "minutes": 60}
    opened = (await call(api, "POST", "/api/maintenance", body)).json()
    answer = await call(api, "DELETE", f"/api/maintenance/{opened['id']}", reason="ready")
    assert (answer.status_code, answer.json()["changed"]) == (200, True)
    assert (await api.get("/api/maintenance")).json() == []
    assert (await log(api))[0]["detail"]["name"] == opened["name"]
    assert (await log(api))[0]["reason"] == "ready"

    again = await call(api, "DELETE", f"/api/maintenance/{opened['id']}")
    assert again.status_code == 404


async def test_a_systemconfigs_window_is_ended_in_its_spec_only(api: RunningApi) -> None:
    await api.sql(
        "INSERT INTO maintenance (config_id, name, selector, reason, starts_at, ends_at,"
        " created_by, created_at) SELECT id, 'fw', '{}', 'x', now(), now() + interval '1 h',"
        " 'kubectl', now() FROM system_config"
    )
    (window,) = (await api.get("/api/maintenance")).json()
    assert window["systemConfig"] == "defib/default"
    answer = await call(api, "DELETE", f"/api/maintenance/{window['id']}")
    assert (answer.status_code, answer.json()["reason"]) == (409, "MaintenanceInSpec")
    assert "remove fw from spec.maintenance of defib/default" in answer.json()["message"]


@pytest.mark.parametrize("window_id", ["maintenance_9", "maintenance_0", "9", "fw"])
async def test_an_unknown_window_is_a_404(shared_api: RunningApi, window_id: str) -> None:
    answer = await call(shared_api, "DELETE", f"/api/maintenance/{window_id}")
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"matchLabels": None}, "matchLabels"),
        ({"matchLabels": {"a b": "c"}}, "matchLabels"),
        ({"matchLabels": {"a": "c d"}}, "matchLabels"),
        ({"matchLabels": {"a": 7}}, "matchLabels.a"),
        ({"minutes": None}, "body"),
        ({"until": "2030-01-01T00:00:00Z"}, "body"),
        ({"minutes": None, "until": "2020-01-01T00:00:00Z"}, "until"),
        ({"from": "2020-01-01T00:00:00Z", "minutes": 5}, "until"),
        ({"name": "Firmware"}, "name"),
        ({"reason": ""}, "reason"),
        ({"labels": {}}, "labels"),
    ],
)
async def test_a_wrong_window_is_a_400_by_field(
    shared_api: RunningApi, changes: dict[str, Any], field: str
) -> None:
    body = {"reason": "x", "matchLabels": {}, "minutes": 60, **changes}
    given = {key: value for key, value in body.items() if value is not None}
    answer = await call(shared_api, "POST", "/api/maintenance", given)
    assert answer.status_code == 400, answer.text
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert (await shared_api.get("/api/maintenance")).json() == []


# the global stop


async def test_everything_is_stopped_and_let_go(api: RunningApi) -> None:
    assert (await api.get("/api/global-stop")).json() == {"stopped": False, "stops": []}
    stopped = await call(api, "PUT", "/api/global-stop", {"reason": "storage"})
    assert (stopped.status_code, stopped.json()["changed"]) == (200, True)

    state = (await api.get("/api/global-stop")).json()
    (stop,) = state["stops"]
    assert (state["stopped"], stop["reason"], stop["by"]) == (True, "storage", "alice")
    again = await call(api, "PUT", "/api/global-stop", {"reason": "other"})
    assert again.json()["changed"] is False
    assert "alice: storage" in again.json()["message"]

    gone = await call(api, "DELETE", "/api/global-stop", reason="over")
    assert (gone.status_code, gone.json()["changed"]) == (200, True)
    assert (await api.get("/api/global-stop")).json()["stopped"] is False
    assert (await call(api, "DELETE", "/api/global-stop")).json()["changed"] is False
    assert [(one["action"], one["reason"]) for one in await log(api)] == [
        ("EndGlobalStop", "over"),
        ("BeginGlobalStop", "storage"),
    ]


async def test_a_systemconfigs_stop_is_ended_in_its_spec_only(api: RunningApi) -> None:
    await api.sql(
        "INSERT INTO global_stop (config_id, reason, started_by, started_at)"
        " SELECT id, 'storage', 'kubectl', now() FROM system_config"
    )
    answer = await call(api, "DELETE", "/api/global-stop")
    assert (answer.status_code, answer.json()["reason"]) == (409, "StoppedInSpec")
    assert "spec.globalStop of defib/default" in answer.json()["message"]

    assert (await call(api, "PUT", "/api/global-stop", {"reason": "me too"})).json()["changed"]
    answer = await call(api, "DELETE", "/api/global-stop")
    assert answer.json()["changed"] is True
    assert "still stopped by SystemConfig" in answer.json()["message"]


async def test_a_stop_says_what_was_sent_before_it(api: RunningApi) -> None:
    await api.report()
    await api.sql(
        "INSERT INTO reset_history (vm_id, phase, action, source, actor, reason, attempt,"
        " requested_at, sent_at) VALUES (1, 'sent', 'Reset', 'auto', 'x', 'x', 1, now(), now())"
    )
    answer = await call(api, "PUT", "/api/global-stop", {"reason": "storage"})
    assert "1 resets were sent before" in answer.json()["message"]


async def test_a_stop_survives_the_api(database_url: str) -> None:
    async with running_api(database_url, None) as first:
        await call(first, "PUT", "/api/global-stop", {"reason": "storage"})
    async with running_api(database_url, None) as second:
        assert (await second.get("/api/global-stop")).json()["stopped"] is True


# the audit log


async def test_a_reset_by_hand_is_audited_with_its_force(api: RunningApi) -> None:
    await managed(api)
    async with operator_that(api.database_url, finishes(Phase.SUCCEEDED, None)):
        await call(api, "POST", "/api/vms/vm_1/reset", {"reason": "stuck", "force": True})
    (line,) = await log(api)
    assert (line["action"], line["source"], line["reason"]) == ("Reset", "cli", "stuck")
    assert line["detail"] == {"reason": "stuck", "force": True, "resetId": 1}


async def test_a_refused_reset_is_audited_too(api: RunningApi) -> None:
    await managed(api)
    async with operator_that(api.database_url, cancels("GlobalStop", "everything is stopped")):
        answer = await call(api, "POST", "/api/vms/vm_1/reset", {"reason": "stuck"})
    assert answer.json()["reason"] == "GlobalStop"
    assert [one["action"] for one in await log(api)] == ["Reset"]


async def test_the_log_is_read_in_pages_by_vm_and_by_action(api: RunningApi) -> None:
    await api.report()
    await api.report(vmid=101, hostname="other")
    for vm_id in ("vm_1", "vm_2"):
        await call(api, "POST", f"/api/vms/{vm_id}/pause", {"reason": "x"})
        await call(api, "DELETE", f"/api/vms/{vm_id}/pause")

    async def read(**parameters: object) -> list[tuple[str, str]]:
        lines = (await api.get("/api/audit", **parameters)).json()
        return [(one["vmId"], one["action"]) for one in lines]

    everything = [("vm_2", "Unpause"), ("vm_2", "Pause"), ("vm_1", "Unpause"), ("vm_1", "Pause")]
    assert await read() == everything
    assert await read(vm="vm_1") == everything[2:]
    assert await read(action="Pause") == [everything[1], everything[3]]
    assert await read(limit=1) == everything[:1]
    first = (await api.get("/api/audit", limit=2)).json()
    assert await read(before=first[-1]["id"]) == everything[2:]
    assert await read(vm="vm_77") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("vm", "web-01"), ("before", "78"), ("action", "Dance"), ("limit", "0"), ("limit", "501")],
)
async def test_a_wrong_question_to_the_log_is_a_400(
    shared_api: RunningApi, name: str, value: str
) -> None:
    answer = await shared_api.get("/api/audit", **{name: value})
    assert answer.status_code == 400
    assert [one["field"] for one in answer.json()["errors"]] == [name]


# what all have in common

EVERY = [
    ("POST", "/api/vms/vm_1/pause", {"reason": "x"}),
    ("DELETE", "/api/vms/vm_1/pause", None),
    ("POST", "/api/vms/vm_1/clear", {"reason": "x"}),
    ("GET", "/api/vms/vm_1/explain", None),
    ("GET", "/api/maintenance", None),
    ("POST", "/api/maintenance", {"reason": "x", "matchLabels": {}, "minutes": 1}),
    ("DELETE", "/api/maintenance/maintenance_1", None),
    ("GET", "/api/global-stop", None),
    ("PUT", "/api/global-stop", {"reason": "x"}),
    ("DELETE", "/api/global-stop", None),
    ("GET", "/api/audit", None),
]


@pytest.mark.parametrize(("method", "path", "body"), EVERY)
async def test_nobody_does_it_without_an_administrators_token(
    shared_api: RunningApi, method: str, path: str, body: object
) -> None:
    await shared_api.report()
    for token in (None, shared_api.agent_key, "nonsense"):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = await shared_api.http.request(method, path, json=body, headers=headers)
        assert answer.status_code == 401
    assert await shared_api.sql("SELECT count(*) FROM audit") == [(0,)]


async def test_an_explanation_has_the_fields_of_its_example(api: RunningApi) -> None:
    await managed(api)
    told = (await api.get("/api/vms/vm_1/explain")).json()
    assert told.keys() == examples.EXPLANATION.keys()
    assert told["verdict"]["kind"] == "alive"


@pytest.mark.parametrize("what", ["pause", "clear", "explain"])
async def test_an_unknown_vm_is_a_404(shared_api: RunningApi, what: str) -> None:
    method = "GET" if what == "explain" else "POST"
    answer = await call(shared_api, method, f"/api/vms/vm_9/{what}", {"reason": "x"})
    assert answer.status_code == 404
    assert answer.json()["message"].startswith("there is no VM")


async def test_a_body_that_is_not_declared_as_json_is_a_415(shared_api: RunningApi) -> None:
    headers = {**shared_api.admin, "Content-Type": "text/plain"}
    answer = await shared_api.http.put(
        "/api/global-stop", content=b'{"reason": "x"}', headers=headers
    )
    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("model", "example"),
    [
        (schemas.Done, examples.PAUSED),
        (schemas.Done, examples.UNPAUSED),
        (schemas.Done, examples.CLEARED),
        (schemas.Done, examples.STOPPED),
        (schemas.Done, examples.STOP_ENDED),
        (schemas.Done, examples.WINDOW_ENDED),
        (schemas.WindowOpened, examples.OPENED),
        (schemas.Maintenance, examples.WINDOW),
        (schemas.GlobalStopState, examples.STOP_STATE),
        (schemas.ControlConflict, examples.IN_SPEC),
        (schemas.AuditEntry, examples.AUDIT),
        (VmExplanation, examples.EXPLANATION),
    ],
)
def test_an_example_is_what_its_model_says(model: Any, example: dict[str, Any]) -> None:  # noqa: ANN401
    shown = model.model_validate(example)
    assert shown.model_dump(mode="json", by_alias=True) == example
