"""Signing in through a real OpenID provider, as a person sees it."""

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from defib_dev.components.ports import LOOPBACK, free_port
from identity.oidc_provider import CLIENT, ROLES, SECRET, OidcProvider, install
from page.conftest import Opened
from page.looking import serious_findings, shown
from page.side_api import SideApi, side_api
from support.postgres import TestPostgres

LABEL = "Sign in with Example"
ELSEWHERE = re.compile(rf"^https?://(?!{re.escape(LOOPBACK)})")


@dataclass(frozen=True, slots=True)
class House:
    """An API whose people come from a provider, and the page."""

    api: SideApi
    provider: OidcProvider


@pytest.fixture(scope="module")
def house(
    postgres_server: TestPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    install()
    port = free_port()
    origin = f"http://{LOOPBACK}:{port}"
    provider = OidcProvider(tmp_path_factory.mktemp("oidc"), f"{origin}/api/oidc/callback")
    settings = {
        "DEFIB_PUBLIC_URL": origin,
        "DEFIB_OIDC_ISSUER": provider.issuer,
        "DEFIB_OIDC_CLIENT_ID": CLIENT,
        "DEFIB_OIDC_CLIENT_SECRET": SECRET,
        "DEFIB_OIDC_LABEL": LABEL,
        "DEFIB_ROLES": ROLES,
    }
    # Playwright keeps a loop running in this thread; the provider ends with the one it began in.
    with ThreadPoolExecutor(1) as aside:
        aside.submit(lambda: asyncio.run(provider.start())).result()
        try:
            with side_api(postgres_server, 1, port=port, settings=settings) as api:
                yield House(api, provider)
        finally:
            provider.stop()


def arrived(opened: Opened, house: House, path: str = "/?view=table") -> Page:
    """The page before somebody who is not signed in."""
    page = opened(path, api=house.api.url, token=None)
    # The provider's own pages ask for a font of somebody else's.
    page.context.route(ELSEWHERE, lambda route: route.abort())
    return page


def sign_in(page: Page, login: str) -> None:
    """Press the button, and say who one is at the provider."""
    page.get_by_role("link", name=LABEL).click()
    page.locator("[name=login]").fill(login)
    page.locator("[name=password]").fill("x")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def test_one_comes_in_with_the_role_of_his_group_where_he_wanted_to_go_and_out_again(
    house: House, opened: Opened
) -> None:
    page = arrived(opened, house, "/?view=table&health=healthy")
    expect(page.get_by_role("link", name=LABEL)).to_be_visible()
    assert serious_findings(page) == []
    sign_in(page, "otto")
    shown(page)
    assert page.url == f"{house.api.url}/?view=table&health=healthy"
    expect(page.get_by_text("otto.o · operator")).to_be_visible()
    page.reload()
    expect(page.get_by_text("otto.o · operator")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to Defib")).to_be_visible()
    page.reload()
    expect(page.get_by_role("link", name=LABEL)).to_be_visible()


def test_who_may_only_look_is_told_what_more_would_take(house: House, opened: Opened) -> None:
    page = arrived(opened, house)
    sign_in(page, "vera")
    shown(page)
    expect(page.get_by_text("vera.v · viewer")).to_be_visible()
    page.locator("[data-row-link]").first.click()
    expect(page.get_by_role("button", name=re.compile("Reset … .*needs operator"))).to_be_disabled()


def test_who_has_no_role_is_told_so_and_finds_the_way_back(house: House, opened: Opened) -> None:
    page = arrived(opened, house)
    sign_in(page, "nils")
    expect(page.get_by_role("heading", name="You are not signed in")).to_be_visible()
    expect(page.get_by_text("has no role here")).to_be_visible()
    page.goto(f"{house.api.url}/")
    expect(page.get_by_role("heading", name="Sign in to Defib")).to_be_visible()


def test_a_session_that_ends_is_begun_again_in_another_tab_and_nothing_is_lost(
    house: House, opened: Opened
) -> None:
    page = arrived(opened, house)
    sign_in(page, "otto")
    shown(page)
    page.locator("[data-row-link]").first.click()
    page.get_by_role("button", name="Pause …").click()
    page.get_by_label("Why", exact=True).fill("kernel update, Otto")
    proof = page.evaluate("fetch('/api/me').then((answer) => answer.json())")["csrfToken"]
    ended = page.context.request.delete(
        f"{house.api.url}/api/session", headers={"X-CSRF-Token": proof}
    )
    assert ended.ok

    again = page.get_by_role("dialog", name="Sign in again")
    expect(again.get_by_text("Opens in a new tab")).to_be_visible()
    with page.context.expect_page() as opening:
        again.get_by_role("link", name=LABEL).click()
    # The provider knows him still.
    shown(opening.value)
    opening.value.close()
    expect(again).to_have_count(0)
    expect(page.get_by_label("Why", exact=True)).to_have_value("kernel update, Otto")
    page.get_by_role("button", name="Pause it").click()
    expect(page.get_by_role("dialog").last.get_by_role("status")).to_be_visible()
