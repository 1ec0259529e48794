"""A browser's session: out of scripts' reach, no use to other sites, ended for good."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from identity.machines import Site
from support.tokens import secret_of
from support.waiting import eventually_async


async def sign_in(site: Site, headers: dict[str, str] | None = None) -> httpx.Response:
    answer = await site.api.http.post("/api/session", headers=headers or site.api.admin)
    assert answer.status_code == 200, answer.text
    return answer


async def test_a_token_becomes_a_cookie(site: Site) -> None:
    begun = await sign_in(site)
    cookie = begun.headers["set-cookie"]
    assert cookie.startswith("defib_session=defib_session_")
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    me = (await site.api.http.get("/api/me")).json()
    assert me == begun.json()
    assert (me["name"], me["role"], me["via"]) == ("alice", "administrator", "session")
    assert (await site.api.http.get("/api/status")).status_code == 200


async def test_beyond_loopback_the_cookie_is_secure_and_for_this_host_alone(site: Site) -> None:
    begun = await sign_in(site, {**site.api.admin, "Host": "defib.example.com"})
    cookie = begun.headers["set-cookie"]
    assert cookie.startswith("__Host-defib_session=")
    assert "Secure" in cookie.split("; ")
    assert "domain" not in cookie.lower()


async def test_a_change_needs_the_header_that_only_our_page_knows(site: Site) -> None:
    csrf = (await sign_in(site)).json()["csrfToken"]
    stop, why = "/api/global-stop", {"reason": "a drill"}
    for headers in (
        {},
        {"X-CSRF-Token": "wrong"},
        {"X-CSRF-Token": csrf, "Origin": "https://evil.example.com"},
        {"X-CSRF-Token": csrf, "Origin": "null"},
    ):
        refused = await site.api.http.put(stop, json=why, headers=headers)
        assert refused.status_code == 403, headers
    assert await site.api.sql("SELECT count(*) FROM global_stop") == [(0,)]
    mine = f"http://127.0.0.1:{site.api.port}"
    done = await site.api.http.put(stop, json=why, headers={"X-CSRF-Token": csrf, "Origin": mine})
    assert done.status_code == 200


async def test_after_signing_out_the_cookie_is_good_for_nothing(site: Site) -> None:
    begun = await sign_in(site)
    kept = f"defib_session={site.api.http.cookies['defib_session']}"
    out = await site.api.http.delete(
        "/api/session", headers={"X-CSRF-Token": begun.json()["csrfToken"]}
    )
    assert out.json()["changed"] is True
    site.api.http.cookies.clear()
    replayed = await site.api.http.get("/api/me", headers={"Cookie": kept})
    assert replayed.status_code == 401
    lines = (await site.api.get("/api/audit")).json()
    assert [line["action"] for line in lines] == ["SignOut", "SignIn"]


async def test_a_session_ends_with_the_token_it_was_begun_with(site: Site) -> None:
    made = await site.change("POST", "/api/tokens", {"name": "bob", "role": "viewer", "days": 1})
    await sign_in(site, {"Authorization": f"Bearer {made.json()['token']}"})
    assert (await site.api.http.get("/api/me")).json()["name"] == "bob"
    assert (await site.api.http.get("/api/agent-tokens")).status_code == 403
    await site.change("DELETE", f"/api/tokens/{made.json()['id']}")

    async def is_over() -> bool:
        return (await site.api.http.get("/api/me")).status_code == 401

    await eventually_async(is_over, what="the session has ended")


async def test_the_cookies_secret_is_no_token(site: Site) -> None:
    await sign_in(site)
    secret = site.api.http.cookies["defib_session"]
    site.api.http.cookies.clear()
    as_token = await site.api.http.get("/api/me", headers={"Authorization": f"Bearer {secret}"})
    assert as_token.status_code == 401
    token_as_cookie = await site.api.http.get(
        "/api/me", headers={"Cookie": f"defib_session={site.api.admin_token}"}
    )
    assert token_as_cookie.status_code == 401
    assert secret_of(secret) not in str(await site.api.sql("SELECT s::text FROM session s"))


async def test_a_token_needs_no_cookie_and_no_header(site: Site) -> None:
    me = (await site.api.get("/api/me")).json()
    assert me == {
        "name": "alice",
        "role": "administrator",
        "via": "token",
        "csrfToken": None,
        "expiresAt": None,
    }


async def test_who_guesses_is_slowed_down_and_a_right_token_is_not(site: Site) -> None:
    async def guess() -> int:
        answer = await site.api.http.get("/api/me", headers={"Authorization": "Bearer wrong"})
        return answer.status_code

    assert [await guess() for _ in range(20)] == [401] * 20
    assert await guess() == 429
    assert (await site.api.get("/api/me")).status_code == 200


@asynccontextmanager
async def other_browser(site: Site, headers: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that somebody else has signed in with."""
    async with httpx.AsyncClient(base_url=site.api.http.base_url, timeout=30) as browser:
        assert (await browser.post("/api/session", headers=headers)).status_code == 200
        yield browser


async def test_an_administrator_sees_who_is_signed_in_and_signs_him_out(site: Site) -> None:
    made = (await site.change("POST", "/api/tokens", {"name": "bob", "role": "viewer"})).json()
    async with other_browser(site, {"Authorization": f"Bearer {made['token']}"}) as bobs:
        await sign_in(site)
        listed = (await site.api.http.get("/api/sessions")).json()
        assert [(one["name"], one["via"], one["current"]) for one in listed] == [
            ("alice", "session", True),
            ("bob", "session", False),
        ]
        assert listed[1]["token"] == made["id"]
        secret = bobs.cookies["defib_session"]
        assert secret not in str(listed)

        ended = await site.change("DELETE", f"/api/sessions/{listed[1]['id']}")
        assert ended.json()["message"] == "the session of bob is ended"
        assert (await bobs.get("/api/me")).status_code == 401, "at once, on this replica"
        again = await site.change("DELETE", f"/api/sessions/{listed[1]['id']}")
        assert again.status_code == 404
    assert len((await site.api.get("/api/sessions")).json()) == 1
    line = (await site.api.get("/api/audit")).json()[0]
    assert (line["actor"], line["action"], line["detail"]["name"]) == ("alice", "SignOut", "bob")


async def test_whoever_leaves_is_signed_out_everywhere(site: Site) -> None:
    made = (await site.change("POST", "/api/tokens", {"name": "bob", "role": "viewer"})).json()
    headers = {"Authorization": f"Bearer {made['token']}"}
    async with other_browser(site, headers) as one, other_browser(site, headers) as two:
        ended = await site.change("DELETE", "/api/sessions?name=bob")
        assert ended.json()["message"] == "2 sessions of bob are ended"
        assert [(await browser.get("/api/me")).status_code for browser in (one, two)] == [401, 401]
    nobody = await site.change("DELETE", "/api/sessions?name=bob")
    assert (nobody.status_code, nobody.json()["changed"]) == (200, False)
    assert (await site.change("DELETE", "/api/sessions")).status_code == 400, "of nobody is of all"
    line = (await site.api.get("/api/audit")).json()[0]
    assert line["detail"] == {"name": "bob", "sessions": 2}
