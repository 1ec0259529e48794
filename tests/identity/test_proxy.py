"""A trusted proxy says who asks; anybody else who says so is refused."""

from collections.abc import AsyncIterator, Iterator

import pytest

from support.logged import Logged, logging_kept
from support.running_api import RunningApi, running_api

SETTINGS = {
    "proxy_user_header": "X-Forwarded-User",
    "proxy_groups_header": "X-Forwarded-Groups",
    "roles": "administrator=admins; operator=on-call",
}
KIM = {"X-Forwarded-User": "kim", "X-Forwarded-Groups": "others, on-call"}


@pytest.fixture(scope="module")
async def behind(module_database_url: str) -> AsyncIterator[RunningApi]:
    settings = {**SETTINGS, "proxy_cidrs": "127.0.0.0/8, ::1/128"}
    async with running_api(module_database_url, None, **settings) as api:
        yield api


@pytest.fixture
def logged() -> Iterator[Logged]:
    with logging_kept() as kept:
        yield kept


async def test_the_proxys_word_is_believed(behind: RunningApi) -> None:
    assert (await behind.http.get("/api/sign-in")).json()["proxy"] is True
    me = (await behind.http.get("/api/me", headers=KIM)).json()
    assert (me["name"], me["role"], me["via"]) == ("kim", "operator", "proxy")
    assert me["csrfToken"]


async def test_what_stands_between_groups_is_a_setting(database_url: str) -> None:
    settings = {**SETTINGS, "proxy_cidrs": "127.0.0.0/8", "proxy_groups_separator": "|"}
    async with running_api(database_url, None, **settings) as api:
        for groups, status in (("others|on-call", 200), ("cn=others,on-call", 403)):
            answer = await api.http.get("/api/me", headers={**KIM, "X-Forwarded-Groups": groups})
            assert answer.status_code == status, groups


async def test_a_change_needs_the_header_that_other_sites_cannot_send(behind: RunningApi) -> None:
    me = (await behind.http.get("/api/me", headers=KIM)).json()
    stop, why = "/api/global-stop", {"reason": "a drill"}
    csrf = {"X-CSRF-Token": me["csrfToken"]}
    for more in ({}, {"X-CSRF-Token": "x"}, {**csrf, "Origin": "https://evil.example.com"}):
        refused = await behind.http.put(stop, json=why, headers={**KIM, **more})
        assert refused.status_code == 403, more
    done = await behind.http.put(stop, json=why, headers={**KIM, **csrf})
    assert done.status_code == 200
    line = (await behind.get("/api/audit")).json()[0]
    assert (line["action"], line["actor"]) == ("BeginGlobalStop", "kim")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("X-Forwarded-User", "kim")], 403),
        ([("X-Forwarded-User", "kim"), ("X-Forwarded-Groups", "strangers")], 403),
        ([("X-Forwarded-User", "")], 401),
        ([("X-Forwarded-User", "kim"), ("X-Forwarded-User", "root")], 401),
        ([*KIM.items(), ("X-Forwarded-Groups", "admins")], 401),
        ([("X-Forwarded-User", "x" * 200)], 401),
    ],
)
async def test_what_is_not_plain_is_not_believed(
    behind: RunningApi, headers: list[tuple[str, str]], status: int
) -> None:
    answer = await behind.http.get("/api/me", headers=headers)
    assert answer.status_code == status


async def test_a_token_goes_before_the_proxys_word(behind: RunningApi) -> None:
    me = (await behind.http.get("/api/me", headers={**KIM, **behind.admin})).json()
    assert (me["name"], me["via"]) == ("alice", "token")


async def test_the_header_from_elsewhere_is_refused_and_logged(
    database_url: str, logged: Logged
) -> None:
    settings = {**SETTINGS, "proxy_cidrs": "10.0.0.0/8"}
    async with running_api(database_url, None, **settings) as api:
        refused = await api.http.get("/api/me", headers=KIM)
        assert refused.status_code == 401
        assert "believed from a trusted proxy only" in refused.json()["message"]
        assert "proxy_header.refused" in [one["event"] for one in logged.lines()]
        again = [(await api.http.get("/api/me", headers=KIM)).status_code for _ in range(20)]
        assert again[-1] == 429


async def test_without_the_setting_the_header_says_nothing(database_url: str) -> None:
    async with running_api(database_url, None) as api:
        assert (await api.http.get("/api/me", headers=KIM)).status_code == 401
