"""How tests find their way on the page, by what a person sees."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
SERIOUS = {"serious", "critical"}


def shown(page: Page) -> None:
    """Wait until VMs are shown."""
    expect(page.locator("[data-row-link]").first).to_be_visible()


def details(page: Page, hostname: str) -> Locator:
    """The details that are open over the fleet."""
    dialog = page.get_by_role("dialog", name=hostname, exact=True)
    expect(dialog).to_be_visible()
    return dialog


def act(page: Page, button: str, reason: str, submit: str) -> Locator:
    """Open a dialog of an action, say why, and press its button."""
    page.get_by_role("button", name=button).click()
    dialog = page.get_by_role("dialog").last
    dialog.get_by_label("Why", exact=True).fill(reason)
    dialog.get_by_role("button", name=submit).click()
    return page.get_by_role("dialog").last


def serious_findings(page: Page) -> list[tuple[str, list[Any]]]:
    """What axe finds that keeps people out."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        (one["id"], [node["html"][:200] for node in one["nodes"]])
        for one in found["violations"]
        if one["impact"] in SERIOUS
    ]
