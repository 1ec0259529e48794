"""What every answer carries, and what no request can slip into one."""

import re

import pytest

from defib_api import envelope
from security.raw import ask
from support.logged import Logged
from support.running_api import RunningApi, running_api
from support.waiting import eventually_async


@pytest.mark.parametrize("path", ["/api/me", "/api/nothing", "/livez", "/install.sh", "/"])
async def test_an_answer_that_is_no_page_may_load_and_run_nothing(
    shared_api: RunningApi, path: str
) -> None:
    headers = (await shared_api.http.get(path)).headers
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers
    assert "server" not in headers
    assert "strict-transport-security" not in headers, "it is plain HTTP"


async def test_over_https_browsers_are_told_to_stay_there(database_url: str) -> None:
    async with running_api(database_url, None, public_url="https://defib.test") as api:
        headers = (await api.http.get("/api/me")).headers
        assert headers["strict-transport-security"] == "max-age=31536000"


async def test_no_other_site_may_ask(shared_api: RunningApi) -> None:
    asked = await shared_api.http.options(
        "/api/global-stop",
        headers={
            "Origin": "https://evil.example.com",
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "x-csrf-token",
        },
    )
    assert asked.status_code == 405
    assert not [name for name in asked.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "number", ["a\tb", "x" * 65, "<script>", "a b", "\u00e9".encode().decode("latin-1")]
)
async def test_a_request_number_that_is_none_is_not_sent_back(
    shared_api: RunningApi, number: str
) -> None:
    answer = await shared_api.http.get(
        "/api/me", headers=[(b"X-Request-Id", number.encode("latin-1"))]
    )
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])


TWO_FRAMINGS = (
    b"POST /api/session HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
)


@pytest.mark.parametrize(
    "line",
    [
        b"GET /api/me\r\nSet-Cookie:a=b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /api/me HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\r\n Set-Cookie: a=b\r\n\r\n",
        b"GET /api/me HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\x00b\r\n\r\n",
        b"GET /api/me HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        TWO_FRAMINGS,
        b"GET /api/me HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    ],
    ids=["split line", "folded header", "nul", "two lengths", "two framings", "negative length"],
)
async def test_a_request_that_two_servers_could_read_in_two_ways_is_refused(
    shared_api: RunningApi, line: bytes
) -> None:
    answer = await ask(shared_api.port, line)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 401")), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"set-cookie" not in answer.lower()


async def test_a_body_that_drips_is_given_up(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(envelope, "BODY_SECONDS", 0.3)
    head = (
        f"POST /api/tokens HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {api.admin_token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    answer = await ask(api.port, head.encode())
    assert answer.startswith(b"HTTP/1.1 408"), answer[:200]
    assert b"connection: close" in answer.lower()


async def test_a_body_that_is_too_long_is_refused_whoever_sends_it(shared_api: RunningApi) -> None:
    answer = await shared_api.http.post("/api/enroll", content=b"x" * 70_000)
    assert (answer.status_code, answer.json()["success"]) == (413, False)


async def test_a_line_of_the_log_cannot_be_forged(api: RunningApi, logged: Logged) -> None:
    forged = '\n{"event": "forged", "level": "info"}\n\x1b[2J'
    await api.http.post(
        "/api/enroll",
        json={"hostname": "web-01", "vmid": 100},
        headers={"X-Enrolment-Token": "wrong", "User-Agent": "a"},
    )
    await api.http.post("/api/enroll", json={"hostname": forged, "vmid": 100})
    await api.send({"hostname": forged, "cpuUsage": 1, "ramUsage": 1, "ramTotal": 1})

    async def something_is_logged() -> bool:
        return "machine.not_enrolled" in logged.text()

    await eventually_async(something_is_logged, what="the refused machine is logged")
    events = [line["event"] for line in logged.lines()]
    assert "forged" not in events
    assert "\x1b" not in logged.text()
