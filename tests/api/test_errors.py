"""The dashboard's API when something is wrong: always JSON, always words, never a bare 422."""

import json

import pytest

from defib_core.store.tokens import TokenKind
from support.logged import Logged
from support.running_api import RunningApi

READS = (
    "/api/vms",
    "/api/vms/vm_1",
    "/api/vms/vm_1/metrics",
    "/api/vms/vm_1/reset-history",
    "/api/status",
    "/api/resets/reset_1",
)


@pytest.mark.parametrize("path", READS)
async def test_without_a_token_nothing_is_shown(shared_api: RunningApi, path: str) -> None:
    answer = await shared_api.http.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="defib"'
    assert answer.json()["success"] is False
    assert "Authorization: Bearer" in answer.json()["message"]


@pytest.mark.parametrize("path", READS)
async def test_an_agents_key_is_no_administrators_token(shared_api: RunningApi, path: str) -> None:
    headers = {"Authorization": f"Bearer {shared_api.agent_key}"}
    answer = await shared_api.http.get(path, headers=headers)
    assert answer.status_code == 401
    assert "may only send reports" in answer.json()["message"]


@pytest.mark.parametrize(
    "value", ["Bearer wrong", "Bearer  wrong", "Basic YTpi", "wrong", "Bearer \xe9", "bearer"]
)
async def test_a_wrong_token_is_a_401(shared_api: RunningApi, value: str) -> None:
    answer = await shared_api.http.get(
        "/api/status", headers={b"Authorization": value.encode("latin-1")}
    )
    assert answer.status_code == 401
    assert answer.json()["success"] is False


async def test_a_report_without_a_key_says_which_header(shared_api: RunningApi) -> None:
    answer = await shared_api.http.post("/api/health/report", json={})
    assert answer.status_code == 401
    assert "X-API-Key" in answer.json()["message"]
    assert "X-API-Key" in answer.headers["www-authenticate"]


async def test_a_report_with_a_wrong_key_is_a_401(shared_api: RunningApi) -> None:
    answer = await shared_api.send_raw(b"{}", X_API_Key="vm-api-key-123")
    assert answer.status_code == 401
    assert "unknown, expired or revoked" in answer.json()["message"]


async def test_an_administrators_token_is_no_agents_key(shared_api: RunningApi) -> None:
    answer = await shared_api.send_raw(b"{}", X_API_Key=shared_api.admin_token)
    assert answer.status_code == 401
    assert "administrator's token" in answer.json()["message"]


@pytest.mark.parametrize("vm_id", ["vm_999", "vm_0", "vm_-1", "999", "vm_x", "vm_" + "9" * 40])
@pytest.mark.parametrize("tail", ["", "/metrics", "/reset-history"])
async def test_an_unknown_vm_is_a_404(shared_api: RunningApi, vm_id: str, tail: str) -> None:
    answer = await shared_api.get(f"/api/vms/{vm_id}{tail}")
    assert answer.status_code == 404
    assert answer.json()["message"].startswith("there is no VM")


@pytest.mark.parametrize("reset_id", ["reset_999", "999", "reset_", "reset_1.0"])
async def test_an_unknown_reset_is_a_404(shared_api: RunningApi, reset_id: str) -> None:
    answer = await shared_api.get(f"/api/resets/{reset_id}")
    assert answer.status_code == 404
    assert "there is no reset" in answer.json()["message"]


@pytest.mark.parametrize("hours", ["0", "-1", "9601", "1.5", "all", "", "1e3", "9" * 30])
async def test_wrong_hours_are_a_400_by_field(shared_api: RunningApi, hours: str) -> None:
    await shared_api.report()
    answer = await shared_api.get("/api/vms/vm_1/metrics", hours=hours)
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["hours"]


@pytest.mark.parametrize("path", ["/api/nothing", "/api", "/api/vms/", "/api/health/report/"])
async def test_an_unknown_address_is_a_404_in_json(shared_api: RunningApi, path: str) -> None:
    answer = await shared_api.get(path)
    assert answer.status_code == 404
    assert "there is nothing at this address" in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/health/report"),
        ("PUT", "/api/health/report"),
        ("POST", "/api/vms"),
        ("DELETE", "/api/vms/vm_1"),
        ("GET", "/api/vms/vm_1/reset"),
        ("POST", "/livez"),
    ],
)
async def test_a_wrong_method_is_a_405_in_json(
    shared_api: RunningApi, method: str, path: str
) -> None:
    answer = await shared_api.http.request(method, path, headers=shared_api.admin)
    assert answer.status_code == 405
    assert answer.json()["success"] is False
    assert answer.headers["allow"]


async def test_a_body_that_is_not_declared_as_json_is_a_415(shared_api: RunningApi) -> None:
    await shared_api.report()
    answer = await shared_api.http.post(
        "/api/vms/vm_1/reset",
        content=b'{"reason": "x"}',
        headers={**shared_api.admin, "Content-Type": "text/plain"},
    )
    assert answer.status_code == 415


async def test_broken_json_is_a_400(shared_api: RunningApi) -> None:
    await shared_api.report()
    answer = await shared_api.http.post(
        "/api/vms/vm_1/reset",
        content=b"{",
        headers={**shared_api.admin, "Content-Type": "application/json"},
    )
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "body"


async def test_a_large_body_is_a_413(shared_api: RunningApi) -> None:
    await shared_api.report()
    answer = await shared_api.http.post(
        "/api/vms/vm_1/reset", json={"reason": "x" * 200_000}, headers=shared_api.admin
    )
    assert answer.status_code == 413
    assert answer.json()["success"] is False


async def test_every_answer_has_its_number_and_safe_headers(shared_api: RunningApi) -> None:
    for path in ("/api/status", "/api/nothing", "/livez"):
        answer = await shared_api.get(path)
        assert len(answer.headers["x-request-id"]) == 16
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await shared_api.get("/api/config")).headers["cache-control"] == "no-store"
    # Kept by nobody but the reader, who asks each time whether it is still true.
    assert (await shared_api.get("/api/status")).headers["cache-control"] == "private, no-cache"
    reported = await shared_api.report()
    assert reported.headers["cache-control"] == "no-store"
    assert reported.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("given", "kept"), [("abc-123", True), ("x" * 65, False), ("a b", False)])
async def test_a_sane_request_id_is_kept(shared_api: RunningApi, given: str, kept: bool) -> None:
    answer = await shared_api.http.get("/livez", headers={"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) is kept


async def test_an_error_of_ours_is_a_500_with_its_number_in_body_and_log(
    api: RunningApi, logged: Logged
) -> None:
    await api.report()
    await api.sql("ALTER TABLE vm_state RENAME COLUMN cpu TO processor")
    answer = await api.get("/api/vms/vm_1")
    assert answer.status_code == 500
    body = answer.json()
    assert body["success"] is False
    assert body["requestId"] == answer.headers["x-request-id"]
    assert body["requestId"] in body["message"]
    assert "processor" not in answer.text
    (line,) = logged.lines("error")
    assert (line["event"], line["request_id"]) == ("request.failed", body["requestId"])
    assert "UndefinedColumn" in line["exception"]


async def test_no_token_is_ever_logged(api: RunningApi, logged: Logged) -> None:
    wrong = await api.new_token(TokenKind.AGENT, "wrong")
    await api.sql("UPDATE api_token SET revoked_at = now() WHERE name = 'wrong'")
    await api.send_raw(b"{", X_API_Key=wrong)
    await api.get("/api/vms/vm_1")
    await api.sql("ALTER TABLE vm RENAME TO gone")
    await api.report(vmid=555)
    text = logged.text()
    assert "Traceback" in text
    password = api.database_url.split("@")[0].rpartition(":")[2]
    for secret in (wrong, api.agent_key, api.admin_token, password):
        assert secret not in text


async def test_a_report_that_breaks_is_a_500_with_its_number(api: RunningApi) -> None:
    await api.sql("ALTER TABLE vm RENAME TO gone")
    answer = await api.report()
    assert answer.status_code == 500
    assert answer.json()["requestId"] in answer.json()["message"]
    assert json.loads(answer.text)["success"] is False
