"""The fleet in a real browser: finding, opening, by mouse, keyboard and phone."""

import re

import pytest
from playwright.sync_api import Page, expect

from page.conftest import Opened
from page.looking import serious_findings, shown

AXE_VIEWS = {
    "/?view=cards": "[data-row-link]",
    "/?view=table": "[data-row-link]",
    "/?view=map": "canvas",
    "/system": "section",
    "/settings": "section",
    "/audit": "h1",
}


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


def test_what_one_presses_is_asked_for_before_the_button_is_let_go(opened: Opened) -> None:
    page = opened("/?view=table")
    shown(page)
    page.get_by_role("link", name=re.compile("Unknown")).hover()
    with page.expect_request(re.compile(r"/api/vms\?.*health=unknown")):
        page.mouse.down()
    assert "health" not in page.url
    page.mouse.up()
    expect(page).to_have_url(re.compile("health=unknown"))


def test_a_link_leads_to_a_vm_over_the_fleet_as_it_was_narrowed(opened: Opened) -> None:
    page = opened("/?view=table&sort=hostname&search=web-server")
    shown(page)
    page.locator("[data-row-link]").nth(1).click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_label("Range").select_option("1")
    expect(page).to_have_url(re.compile("range=1"))
    link = page.url

    again = page.context.new_page()
    again.goto(link)
    expect(again.get_by_role("dialog", name="web-server-02")).to_be_visible()
    expect(again.get_by_label("Range")).to_have_value("1")
    again.get_by_role("button", name="Next VM of the list").click()
    expect(again.get_by_role("dialog", name="web-server-03")).to_be_visible()
    again.get_by_role("button", name="Open as a page").click()
    expect(again.get_by_role("heading", name="web-server-03", level=1)).to_be_visible()
    assert re.search(r"/vm/vm_\d+$", again.url)


def test_by_keyboard_alone_one_goes_everywhere(opened: Opened) -> None:
    page = opened("/system")
    expect(page.get_by_role("heading", name="System")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("f")
    shown(page)
    page.keyboard.press("v")
    page.keyboard.press("t")
    expect(page.locator("tbody")).to_be_visible()
    page.locator("[data-row-link]").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page).to_have_url(re.compile("vm=vm_"))
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page).not_to_have_url(re.compile("vm="))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("v")
    page.keyboard.press("m")
    page.get_by_role("listbox").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#map-vm")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()


@pytest.mark.parametrize("path", AXE_VIEWS)
def test_nothing_keeps_people_out_in_either_theme(opened: Opened, path: str) -> None:
    page = opened(path, scheme="dark")
    expect(page.locator(AXE_VIEWS[path]).first).to_be_visible()
    assert serious_findings(page) == []
    page.get_by_role("button", name="Light").click()
    assert serious_findings(page) == []


def test_nothing_keeps_people_out_of_the_details_and_dialogs(opened: Opened) -> None:
    page = opened("/?view=table&search=web-server-01")
    page.locator("[data-row-link]").first.click()
    expect(page.locator("[data-chart]").first).to_be_visible()
    assert serious_findings(page) == []
    page.get_by_role("button", name="Reset …").click()
    expect(page.get_by_role("dialog", name="Reset web-server-01")).to_be_visible()
    assert serious_findings(page) == []


@pytest.mark.parametrize("path", ["/", "/system", "/settings", "/audit"])
def test_it_fits_a_phone(opened: Opened, path: str) -> None:
    page = opened(path, width=390, height=800)
    expect(page.locator("h1").first).to_be_attached()
    expect(page.get_by_role("status")).to_have_count(0)
    assert _width(page) <= 390


def test_the_system_says_that_all_parts_are_heard(opened: Opened) -> None:
    page = opened("/system")
    expect(page.get_by_text("Reports are being stored")).to_be_visible()
    expect(page.get_by_text("An operator leads")).to_be_visible()
    expect(page.get_by_text("in the inventory of Proxmox")).to_be_visible()
    heard = page.locator("dt", has_text="Kubernetes last heard").locator("xpath=..").locator("dd")
    expect(heard).to_contain_text("ago")


def _width(page: Page) -> int:
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width
