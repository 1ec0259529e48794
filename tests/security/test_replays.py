"""Sessions that are fixed, stolen, replayed or forged; tokens that are compared in a safe way."""

import hmac

import pytest

from defib_api import cookies
from defib_core.domain.actions import Source
from defib_core.domain.roles import Role
from defib_core.store.audit import Who
from defib_core.store.clock import database_now
from defib_core.store.engine import make_engine
from defib_core.store.sessions import NewSession, begin_session
from defib_core.store.tokens import Via, digest
from support.running_api import RunningApi, running_api
from support.waiting import eventually_async


async def test_a_session_that_an_attacker_chose_is_not_taken_on(api: RunningApi) -> None:
    fixed = "defib_session_" + "a" * 43
    begun = await api.http.post(
        "/api/session", headers={**api.admin, "Cookie": f"defib_session={fixed}"}
    )
    assert begun.status_code == 200
    assert fixed not in begun.headers["set-cookie"]
    api.http.cookies.clear()
    tried = await api.http.get("/api/me", headers={"Cookie": f"defib_session={fixed}"})
    assert tried.status_code == 401


async def test_signing_in_again_ends_the_session_before(api: RunningApi) -> None:
    await api.http.post("/api/session", headers=api.admin)
    before = api.http.cookies["defib_session"]
    await api.http.post("/api/session", headers=api.admin)
    assert api.http.cookies["defib_session"] != before
    api.http.cookies.clear()

    async def is_over() -> bool:
        answer = await api.http.get("/api/me", headers={"Cookie": f"defib_session={before}"})
        return answer.status_code == 401

    await eventually_async(is_over, what="the session before has ended", deadline_seconds=30)


async def test_a_session_ends_when_its_time_is_over(api: RunningApi) -> None:
    await api.http.post("/api/session", headers=api.admin)
    await api.sql("UPDATE session SET expires_at = defib_now()")

    async def is_over() -> bool:
        return (await api.http.get("/api/me")).status_code == 401

    await eventually_async(is_over, what="the session has ended", deadline_seconds=30)


async def test_the_csrf_token_of_one_session_is_none_of_another(api: RunningApi) -> None:
    first = (await api.http.post("/api/session", headers=api.admin)).json()["csrfToken"]
    api.http.cookies.clear()
    await api.http.post("/api/session", headers=api.admin)
    refused = await api.http.put(
        "/api/global-stop", json={"reason": "x"}, headers={"X-CSRF-Token": first}
    )
    assert refused.status_code == 403


@pytest.mark.parametrize("origin", ["http://defib.test", "https://defib.test.evil", "null"])
async def test_behind_https_another_origin_changes_nothing(database_url: str, origin: str) -> None:
    """And a proxy that asks as 127.0.0.1 makes no cookie weaker."""
    async with running_api(database_url, None, public_url="https://defib.test") as api:
        begun = await api.http.post("/api/session", headers=api.admin)
        cookie = begun.headers["set-cookie"]
        assert cookie.startswith("__Host-defib_session=")
        assert "Secure" in cookie.split("; ")
        kept = {
            "Cookie": cookie.split(";")[0],
            "X-CSRF-Token": begun.json()["csrfToken"],
            "Host": "defib.test",
        }
        stop = {"reason": "a drill"}
        refused = await api.http.put(
            "/api/global-stop", json=stop, headers={**kept, "Origin": origin}
        )
        assert refused.status_code == 403
        mine = {**kept, "Origin": "https://defib.test", "Host": "127.0.0.1"}
        assert (await api.http.put("/api/global-stop", json=stop, headers=mine)).status_code == 200


async def test_a_session_of_a_person_has_the_role_he_signed_in_with(api: RunningApi) -> None:
    """A role that is taken away at the provider ends with the session, at most."""
    engine = make_engine(api.database_url, application="tests")
    async with engine.begin() as connection:
        now = await database_now(connection)
        wanted = NewSession("kim", Role.VIEWER, Via.OIDC, subject="1")
        who = Who("kim", Source.DASHBOARD)
        secret, ends = await begin_session(connection, who, wanted, now)
    await engine.dispose()
    assert (ends - now).total_seconds() <= 12 * 3600
    me = await api.http.get("/api/me", headers={"Cookie": f"defib_session={secret}"})
    assert (me.json()["role"], me.json()["via"]) == ("viewer", "oidc")


async def test_secrets_are_compared_by_digest_or_in_constant_time(
    api: RunningApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are looked up by their SHA-256, so time tells nothing of the key itself."""
    assert set(api.services.keys._tokens) == {digest(api.agent_key), digest(api.admin_token)}
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(cookies.hmac, "compare_digest", lambda *a: compared.append(a) or real(*a))
    await api.http.post("/api/session", headers=api.admin)
    await api.http.put("/api/global-stop", json={"reason": "x"}, headers={"X-CSRF-Token": "y"})
    assert len(compared) == 1
