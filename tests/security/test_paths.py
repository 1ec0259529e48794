"""Paths that try to be another one, and text that tries to be a statement or a script."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from security.raw import ask
from support.running_api import RunningApi, running_api

SECRET = "what only the machine may read"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A dashboard beside a file that is none of its own."""
    (tmp_path / "secret").write_text(SECRET)
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<title>Defib</title>")
    (dist / "assets" / "link").symlink_to(tmp_path / "secret")
    return dist


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/%2e%2e/secret",
        "/%2e%2e%2fsecret",
        "/..%2fsecret",
        "/..%5csecret",
        "/%252e%252e%252fsecret",
        "/assets/../../secret",
        "/assets/%2e%2e/%2e%2e/secret",
        "/assets/link",
        "//secret",
        "/./../secret",
        "/%00/../secret",
        "/secret%00.js",
        "/agent/..%2f..%2fdist%2f..%2fsecret",
        "/agent/../../secret",
        "http://evil.example.com/../secret",
    ],
)
async def test_no_path_leads_out_of_the_dashboards_folder(
    database_url: str, built: Path, path: str
) -> None:
    async with running_api(database_url, None, frontend_dir=built) as api:
        request = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        answer = await ask(api.port, request.encode())
        assert SECRET.encode() not in answer
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), answer[:100]


@pytest.mark.parametrize(
    "path",
    [
        "/api/%76ms",
        "/api//vms",
        "/api/./vms",
        "/api/vms/",
        "/API/vms",
        "/api/vms;x=1",
        "/api/health/..%2fvms",
        "/api/oidc/../vms",
        "/api/sign-in/../vms",
        "/install.sh/../api/vms",
        "/livez/%2e%2e/api/vms",
    ],
)
async def test_no_spelling_of_a_path_gets_past_the_sign_in(
    shared_api: RunningApi, path: str
) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = await ask(shared_api.port, request.encode())
    assert answer.startswith((b"HTTP/1.1 401", b"HTTP/1.1 404")), answer[:100]


@pytest.mark.parametrize(
    "text", ["' OR 1=1 --", "'; DROP TABLE vm; --", "%", "_", "\\", "\u0000", "a" * 512, "$1"]
)
async def test_what_is_searched_for_is_text_and_never_a_statement(
    shared_api: RunningApi, text: str
) -> None:
    await shared_api.report()
    for name in ("search", "node", "cluster", "label"):
        answer = await shared_api.get("/api/vms", **{name: text})
        assert answer.status_code == 200, (name, answer.text)
        assert answer.json()["items"] == [], name
    for name in ("sort", "health", "cursor"):
        assert (await shared_api.get("/api/vms", **{name: text})).status_code == 400, name
    assert await shared_api.sql("SELECT count(*) FROM vm") == [(1,)]


@pytest.mark.parametrize(
    "cursor", ["W10", "bnVsbA", "eyJhIjoxfQ", "WyJoZWFsdGgiLFtdLFtdLFtdXQ", "A" * 2000]
)
async def test_a_made_up_cursor_is_refused(shared_api: RunningApi, cursor: str) -> None:
    assert (await shared_api.get("/api/vms", cursor=cursor)).status_code == 400


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "web<img src=x onerror=alert(1)>",
        'web"onmouseover="alert(1)',
        "web\u202egpj",
        "javascript:alert(1)",
    ],
)
async def test_a_script_is_no_host_name(shared_api: RunningApi, name: str) -> None:
    assert (await shared_api.report(hostname=name)).status_code == 400
    assert (await shared_api.report(node=name)).status_code == 400


async def test_a_script_in_a_reason_stays_text(api: RunningApi) -> None:
    await api.report()
    script = "<script>alert(1)</script>"
    paused = await api.http.post("/api/vms/vm_1/pause", json={"reason": script}, headers=api.admin)
    assert paused.status_code == 200
    shown = await api.get("/api/vms/vm_1")
    assert shown.headers["content-type"] == "application/json"
    assert shown.headers["x-content-type-options"] == "nosniff"
    assert shown.json()["pausedReason"] == script


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "Forwarded", "X-Original-Host"])
async def test_an_installer_names_the_address_that_is_set(database_url: str, header: str) -> None:
    async with running_api(database_url, None, public_url="https://defib.test") as api:
        poisoned = {header: "evil.example.com", "Host": "evil.example.com"}
        answer = await api.http.get(
            "/install.sh", headers={**poisoned, "X-Forwarded-Proto": "http"}
        )
        assert "evil" not in answer.text
        assert "server='https://defib.test'" in answer.text
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "reason", ["\x1b]0;owned\x07", "fine\x1b[2K\rnothing happened", "\u202etxt.exe", "a\x9b31m"]
)
async def test_no_reason_steers_the_terminal_that_shows_it(
    shared_api: RunningApi, reason: str
) -> None:
    await shared_api.report()
    answer = await shared_api.http.post(
        "/api/vms/vm_1/pause", json={"reason": reason}, headers=shared_api.admin
    )
    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {"field": "reason", "message": "holds characters that cannot be shown"}
    ]


async def test_a_reason_is_one_line(api: RunningApi) -> None:
    await api.report()
    body = {"reason": "disk \U0001f469\u200d\U0001f4bb\n2026  alice (cli)  Clear web-1"}
    answer = await api.http.post("/api/vms/vm_1/pause", json=body, headers=api.admin)
    assert answer.status_code == 200
    (line,) = (await api.get("/api/audit")).json()
    assert line["reason"] == "disk \U0001f469\u200d\U0001f4bb 2026 alice (cli) Clear web-1"


@pytest.mark.parametrize("text", ["a\u0000b", "\u0000", "\ud800", "\U0001f9e8\u202e", "x" * 500])
async def test_no_text_that_a_person_sends_breaks_the_server(
    shared_api: RunningApi, text: str
) -> None:
    await shared_api.report()
    asked = [
        ("POST", "/api/vms/vm_1/pause", {"reason": text}),
        ("POST", "/api/vms/vm_1/clear", {"reason": text}),
        ("PUT", "/api/global-stop", {"reason": text}),
        ("POST", "/api/maintenance", {"reason": text, "matchLabels": {}, "minutes": 1}),
        ("POST", "/api/maintenance", {"reason": "x", "matchLabels": {text: text}, "minutes": 1}),
        ("POST", "/api/enrolment-tokens", {"name": "a", "cluster": text}),
        ("POST", "/api/tokens", {"name": text, "role": "viewer"}),
        ("POST", "/api/enroll", {"hostname": text, "vmid": 100}),
        ("POST", "/api/enroll", {"hostname": "a", "vmid": text}),
        ("POST", "/api/vms/vm_1/reset", {"reason": text, "force": "maybe"}),
    ]
    headers = {**shared_api.admin, "X-Enrolment-Token": "x", "Content-Type": "application/json"}
    for method, path, body in asked:
        content = json.dumps(body)
        answer = await shared_api.http.request(method, path, content=content, headers=headers)
        assert answer.status_code in {200, 400, 401}, (path, answer.status_code, answer.text)
    for path in (
        f"/api/vms/{quote(text, errors='replace')}",
        f"/api/audit?vm={quote(text, errors='replace')}",
        f"/api/agent-tokens?after={quote(text, errors='replace')}",
        f"/api/resets/{quote(text, errors='replace')}",
    ):
        answer = await shared_api.http.get(path, headers=shared_api.admin)
        assert answer.status_code in {400, 404}, (path, answer.status_code, answer.text)
