"""Signing in through a real OpenID provider, and every way in which it is refused."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from defib_dev.components.ports import free_port
from identity.oidc_provider import (
    CLIENT,
    ROLES,
    SECRET,
    Browser,
    OidcProvider,
    browser,
    new_keys,
    oidc_provider,
)
from support.running_api import RunningApi, running_api
from support.waiting import eventually_async


@dataclass(slots=True)
class House:
    """An API whose people come from a provider."""

    api: RunningApi
    provider: OidcProvider
    browser: Browser


@asynccontextmanager
async def house(database_url: str, folder: Path, **changes: object) -> AsyncIterator[House]:
    port = free_port()
    origin = f"http://127.0.0.1:{port}"
    async with oidc_provider(folder, f"{origin}/api/oidc/callback") as provider:
        settings = {
            "public_url": origin,
            "oidc_issuer": provider.issuer,
            "oidc_client_id": CLIENT,
            "oidc_client_secret": SecretStr(SECRET),
            "roles": ROLES,
            **changes,
        }
        async with (
            running_api(database_url, None, port=port, **settings) as api,
            browser(origin) as person,
        ):
            yield House(api, provider, person)


@pytest.fixture(scope="module")
async def shared(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    async with house(module_database_url, tmp_path_factory.mktemp("oidc")) as one:
        yield one


@pytest.fixture(autouse=True)
def _fresh(request: pytest.FixtureRequest) -> None:
    """Each test begins with a browser that nobody knows, and an address that failed nowhere."""
    if "shared" in request.fixturenames:
        one: House = request.getfixturevalue("shared")
        one.browser.http.cookies.clear()
        one.api.services.failures._by_address.clear()


async def test_the_page_is_told_of_the_button(shared: House) -> None:
    ways = (await shared.api.http.get("/api/sign-in")).json()
    label = "Sign in with your organisation"
    assert ways == {
        "token": True,
        "oidc": {"label": label, "url": "/api/oidc/login"},
        "proxy": False,
    }


@pytest.mark.parametrize(
    ("login", "name", "role"),
    [
        ("anna", "anna.a", "administrator"),
        ("otto", "otto.o", "operator"),
        ("vera", "vera.v", "viewer"),
    ],
)
async def test_a_person_signs_in_with_the_role_of_his_group(
    shared: House, login: str, name: str, role: str
) -> None:
    back = await shared.browser.sign_in(login)
    assert (back.status_code, back.headers["location"]) == (303, "/vm/vm_1")
    me = (await shared.browser.me()).json()
    assert (me["name"], me["role"], me["via"]) == (name, role, "oidc")
    session = next(one for one in back.headers.get_list("set-cookie") if "session" in one)
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(session.split("; "))


async def test_the_audit_log_has_what_the_provider_calls_him_for_ever(shared: House) -> None:
    await shared.browser.sign_in("anna")
    line = (await shared.api.get("/api/audit")).json()[0]
    assert (line["action"], line["actor"]) == ("SignIn", "anna.a")
    assert line["detail"] == {"role": "administrator", "via": "oidc", "subject": "anna"}


async def test_a_change_needs_the_csrf_header_and_signing_out_ends_it(shared: House) -> None:
    await shared.browser.sign_in("otto")
    csrf = (await shared.browser.me()).json()["csrfToken"]
    origin = shared.browser.origin
    without = await shared.browser.http.delete(f"{origin}/api/session")
    assert without.status_code == 403
    cookie = shared.browser.http.cookies["defib_session"]
    out = await shared.browser.http.delete(f"{origin}/api/session", headers={"X-CSRF-Token": csrf})
    assert out.status_code == 200
    replayed = await shared.api.http.get("/api/me", headers={"Cookie": f"defib_session={cookie}"})
    assert replayed.status_code == 401


@pytest.mark.parametrize("login", ["nils", "bare"])
async def test_who_has_no_role_is_told_so_and_not_let_in(shared: House, login: str) -> None:
    back = await shared.browser.sign_in(login)
    assert back.status_code == 403
    assert "has no role here" in back.text
    assert "<h1>You are not signed in</h1>" in back.text
    assert "default-src 'none'" in back.headers["content-security-policy"]
    assert (await shared.browser.me()).status_code == 401


async def test_an_answer_counts_once(shared: House) -> None:
    address = await shared.browser.to_callback("vera")
    assert (await shared.browser.come_back(address)).status_code == 303
    again = await shared.browser.come_back(address)
    assert again.status_code == 400, "the attempt's cookie is gone"


async def test_a_code_is_worthless_in_another_browser(shared: House) -> None:
    address = await shared.browser.to_callback("anna")
    async with browser(shared.browser.origin) as thief:
        assert (await thief.come_back(address)).status_code == 400
        await thief.begin()
        assert (await thief.come_back(address)).status_code == 400, "its state is another's"
        assert (await thief.me()).status_code == 401


async def test_a_stolen_code_fails_for_want_of_the_verifier(shared: House) -> None:
    address = await shared.browser.to_callback("anna")
    code = address.partition("code=")[2].partition("&")[0]
    async with browser(shared.browser.origin) as thief:
        begun = await thief.begin()
        state = begun.headers["location"].partition("&state=")[2].partition("&")[0]
        origin = shared.browser.origin
        back = await thief.come_back(f"{origin}/api/oidc/callback?code={code}&state={state}")
        assert back.status_code == 401
        assert (await thief.me()).status_code == 401


async def test_a_code_of_another_provider_is_refused(shared: House) -> None:
    address = await shared.browser.to_callback("anna")
    here = shared.provider.issuer.replace(":", "%3A").replace("/", "%2F")
    assert here in address
    mixed = address.replace(here, "https%3A%2F%2Fevil.example.com")
    assert (await shared.browser.come_back(mixed)).status_code == 400


async def test_who_gives_up_at_the_provider_is_told_so(shared: House) -> None:
    begun = await shared.browser.begin()
    state = begun.headers["location"].partition("&state=")[2].partition("&")[0]
    origin = shared.browser.origin
    back = await shared.browser.come_back(
        f"{origin}/api/oidc/callback?error=%3Cscript%3E&state={state}"
    )
    assert back.status_code == 403
    assert "<script>" not in back.text
    assert "&lt;script&gt;" in back.text


@pytest.mark.parametrize(
    "place",
    [
        "//evil.example.com",
        "/\\evil.example.com",
        "https://evil.example.com",
        "javascript:alert(1)",
        "/%0d%0aSet-Cookie: a=b" + chr(10),
        "/\t/evil.example.com",
        "evil",
        "",
        "/api/session",
        "/" + "x" * 3000,
    ],
)
async def test_one_is_sent_on_to_this_server_only(shared: House, place: str) -> None:
    refused = await shared.browser.begin(place)
    assert refused.status_code == 400, place
    assert refused.json()["errors"][0]["field"] == "next"


async def test_a_forged_cookie_leads_nowhere_else(shared: House) -> None:
    from defib_api.oidc.attempt import Attempt, packed, unpacked  # noqa: PLC0415

    forged = packed(Attempt("s", "n", "v", "//evil.example.com"))
    assert unpacked(forged) is None
    for rubbish in ("", "%", "e30", "W10", "\u00e9", "bnVsbA"):
        assert unpacked(rubbish) is None


async def test_the_address_to_which_a_code_goes_is_not_the_requests_word(shared: House) -> None:
    answer = await shared.api.http.get(
        "/api/oidc/login",
        headers={"Host": "evil.example.com", "X-Forwarded-Host": "evil.example.com"},
        follow_redirects=False,
    )
    assert "evil" not in answer.headers["location"]


async def test_too_many_failures_from_an_address_are_slowed_down(shared: House) -> None:
    origin = shared.browser.origin
    statuses = [
        (await shared.browser.come_back(f"{origin}/api/oidc/callback?code=x&state=y")).status_code
        for _ in range(21)
    ]
    assert statuses == [400] * 20 + [429]


async def test_new_keys_of_the_provider_are_taken(database_url: str, tmp_path: Path) -> None:
    async with house(database_url, tmp_path) as one:
        assert (await one.browser.sign_in("vera")).status_code == 303
        one.provider.keys = new_keys("second")
        await one.provider.restart()
        one.browser.http.cookies.clear()
        assert (await one.browser.sign_in("vera")).status_code == 303
        one.provider.stop()
        one.browser.http.cookies.clear()
        begun = await one.browser.begin()
        assert begun.status_code == 303, "its description is known"
        state = begun.headers["location"].partition("&state=")[2].partition("&")[0]
        origin = one.browser.origin
        away = await one.browser.come_back(f"{origin}/api/oidc/callback?code=x&state={state}")
        assert (away.status_code, away.headers["retry-after"]) == (503, "10")


async def test_a_secret_is_changed_without_a_restart(database_url: str, tmp_path: Path) -> None:
    async with house(database_url, tmp_path) as one:
        file = tmp_path / "secret"
        file.write_text("wrong\n")
        one.api.services.settings._files["oidc_client_secret"] = file
        assert (await one.browser.sign_in("vera")).status_code == 401
        file.write_text(f"{SECRET}\n")
        assert (await one.browser.sign_in("vera")).status_code == 303


async def test_without_a_provider_there_is_no_button_and_no_way(
    database_url: str,
) -> None:
    async with running_api(database_url, None) as api:
        ways = (await api.http.get("/api/sign-in")).json()
        assert ways == {"token": True, "oidc": None, "proxy": False}
        for path in ("login", "callback"):
            assert (await api.http.get(f"/api/oidc/{path}")).status_code == 404


async def test_a_provider_that_is_away_is_said_to_be(database_url: str, tmp_path: Path) -> None:
    async with house(database_url, tmp_path) as one:
        one.provider.stop()
        away = await one.browser.begin()
        assert (away.status_code, away.headers["retry-after"]) == (503, "10")
        await one.provider.start()

        async def is_back() -> bool:
            return (await one.browser.begin()).status_code == 303

        await eventually_async(is_back, what="the provider is found again", deadline_seconds=30)
