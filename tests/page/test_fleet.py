"""The fleet in a real browser: signing in, finding, opening, by mouse, keyboard and phone."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from page.conftest import AXE, PATIENCE_MS, Opened
from support.live_stack import LiveStack

expect.set_options(timeout=PATIENCE_MS)

SERIOUS = {"serious", "critical"}


def shown(page: Page) -> None:
    """Wait until VMs are shown."""
    expect(page.locator("[data-row-link]").first).to_be_visible()


def serious_findings(page: Page) -> list[tuple[str, list[Any]]]:
    """What axe finds that keeps people out."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"]])
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]


def test_one_signs_in_with_a_token_and_a_wrong_one_is_refused(
    stack: LiveStack, opened: Opened
) -> None:
    page = opened("/?health=healthy", token=None)
    field = page.get_by_label(re.compile("Administrator.s token"))
    field.fill("nonsense")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("token")

    field.fill(stack.status["admin_token"])
    field.press("Enter")
    shown(page)
    assert page.url.endswith("/?health=healthy")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to Defib")).to_be_visible()


def test_a_session_that_ends_asks_to_sign_in_and_keeps_the_address(opened: Opened) -> None:
    page = opened("/?sort=hostname")
    shown(page)
    page.route("**/api/**", lambda route: route.fulfill(status=401, json={"success": False}))
    expect(page.get_by_text("Your session is over")).to_be_visible()
    assert page.url.endswith("/?sort=hostname")


def test_the_stream_makes_it_live(opened: Opened) -> None:
    page = opened("/")
    expect(page.locator('[data-freshness="live"]')).to_be_visible()


def test_search_and_counters_narrow_the_fleet_and_back_widens_it(opened: Opened) -> None:
    page = opened("/?view=table")
    shown(page)
    page.keyboard.press("/")
    page.keyboard.type("db-server-01")
    expect(page.locator("[data-row-link]")).to_have_count(1)
    expect(page).to_have_url(re.compile("search=db-server-01"))
    page.get_by_role("button", name="Show all").click()
    page.get_by_role("link", name=re.compile("Unknown")).click()
    expect(page).to_have_url(re.compile("health=unknown"))
    page.go_back()
    expect(page).not_to_have_url(re.compile("health"))


def test_by_keyboard_alone_one_opens_a_vm_and_comes_back(opened: Opened) -> None:
    page = opened("/?view=table&sort=hostname")
    shown(page)
    first = page.locator("[data-row-link]").first
    first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page).to_have_url(re.compile("vm=vm_"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("vm="))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/?view=table", "/?view=map", "/system"])
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_nothing_keeps_people_out(opened: Opened, path: str, scheme: str) -> None:
    page = opened(path, scheme=scheme)
    there = {"/?view=map": "canvas", "/system": "section"}.get(path, "[data-row-link]")
    expect(page.locator(there).first).to_be_visible()
    assert serious_findings(page) == []


def test_it_fits_a_phone(opened: Opened) -> None:
    page = opened("/", width=390, height=800)
    shown(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_an_empty_fleet_says_what_to_do(opened: Opened) -> None:
    page = opened("/system")
    empty = {"items": [], "nextCursor": None, "total": 0}
    page.route(re.compile(r"/api/vms\?"), lambda route: route.fulfill(json=empty))
    counts = dict.fromkeys(("total", "healthy", "warning", "down", "unknown", "resetFailed"), 0)

    def nobody(route: Any) -> None:  # noqa: ANN401 - Playwright's own type is not exported
        body = route.fetch().json()
        route.fulfill(json={**body, "vms": counts})

    page.route("**/api/status", nobody)
    page.get_by_role("link", name="Fleet", exact=True).click()
    expect(page.get_by_text("No VM reports yet")).to_be_visible()
    page.get_by_role("button", name="Add a VM").last.click()
    expect(page.get_by_role("dialog", name="Add a VM")).to_be_visible()
    page.get_by_role("button", name="Make a token for one VM").click()
    expect(page.get_by_text("defib_enrol_").first).to_be_visible()
