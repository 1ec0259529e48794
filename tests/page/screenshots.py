"""Makes the pictures of the documentation. Not a test: run it by its name, and look at each."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from page.cast import LOCKED, LONELY, Cast
from page.conftest import Opened
from page.looking import act, shown
from page.side_api import side_api
from support.postgres import TestPostgres

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
ILL = """
UPDATE vm_state SET state = CASE vm_id % 4 WHEN 0 THEN 'down' WHEN 1 THEN 'reset_failed'
    WHEN 2 THEN 'unknown' ELSE 'warning' END WHERE vm_id % 97 < 3;
UPDATE vm_state SET state = 'down' WHERE vm_id % 40 = 17;
UPDATE operator_health SET swept_at = now() + interval '1 hour'
"""
pytestmark = pytest.mark.filterwarnings("default")


def shoot(page: Page, name: str) -> None:
    page.mouse.move(0, 0)
    page.screenshot(path=FOLDER / f"{name}.png", animations="disabled")


def test_pictures(cast: Cast, opened: Opened) -> None:
    cast.wait(LONELY, "reset_failed")
    page = opened(f"/?vm={cast.vm_id(LOCKED)}")
    act(page, "Pause …", "disk is being replaced, Kim", "Pause it")
    page = opened("/?view=cards")
    shown(page)
    expect(page.get_by_text("Reset failed").nth(1)).to_be_visible()
    shoot(page, "fleet-cards")
    for scheme in ("dark", "light"):
        page = opened("/?view=table", scheme=scheme)
        shown(page)
        shoot(page, "fleet-table" if scheme == "dark" else "fleet-table-light")
    page = opened(f"/?vm={cast.vm_id(LONELY)}&range=1", height=1100)
    expect(page.locator("[data-chart] canvas").first).to_be_visible()
    shoot(page, "vm")
    page.get_by_role("button", name="Reset …").click()
    expect(page.get_by_text("Defib says now")).to_be_visible()
    shoot(page, "reset")
    for name in ("system", "settings", "audit"):
        page = opened(f"/{name}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_role("status")).to_have_count(0)
        shoot(page, name)
    page = opened("/", token=None)
    expect(page.get_by_label("Access token")).to_be_visible()
    shoot(page, "sign-in")
    page = opened("/", width=390, height=800)
    shown(page)
    shoot(page, "phone")
    page.locator("[data-row-link]").first.click()
    expect(page.get_by_text(re.compile("Figures of"))).to_be_visible()
    shoot(page, "phone-vm")


def test_pictures_of_a_large_fleet(postgres_server: TestPostgres, opened: Opened) -> None:
    with side_api(postgres_server, 6_000) as large:
        large.sql(ILL)
        page = opened("/?view=map", api=large.url, token=large.token)
        plan = page.get_by_role("listbox", name=re.compile("Map of"))
        expect(plan).to_be_visible()
        page.screenshot(path=FOLDER / "fleet-map.png", animations="disabled")
        page.close()
