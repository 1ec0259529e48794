"""Parts of Defib go away while the page is open, and come back. Last of all: the stack is one."""

import json
import re

import psutil
from playwright.sync_api import Page, expect

from page.conftest import Opened
from page.looking import shown
from support.live_stack import LiveStack, defib

NOT_REACHED = re.compile("No answer from the API for|The API has not been reached for")


def test_without_redis_and_then_without_the_api_it_says_so_and_comes_back(
    stack: LiveStack, opened: Opened
) -> None:
    page = opened("/system")
    expect(page.get_by_text("In use")).to_be_visible()
    _end(stack, "valkey")
    expect(page.get_by_text("Away: reads come from PostgreSQL")).to_be_visible()
    page.get_by_role("link", name="Fleet", exact=True).click()
    shown(page)
    expect(page.locator('[data-freshness="live"]')).to_be_visible()

    _end(stack, "api")
    expect(page.get_by_text(NOT_REACHED)).to_be_visible()
    assert _green(page) is False
    started = defib("dev", "up", "--state-dir", str(stack.folder), timeout=300)
    assert started.returncode == 0, started.stdout + started.stderr
    expect(page.locator('[data-freshness="live"]')).to_be_visible()
    expect(page.get_by_text(NOT_REACHED)).to_have_count(0)
    page.wait_for_function("document.documentElement.dataset.trust === undefined")


def _end(stack: LiveStack, name: str) -> None:
    status = defib("dev", "status", "--json", "--state-dir", str(stack.folder))
    found = [one for one in json.loads(status.stdout)["processes"] if one["name"] == name]
    process = psutil.Process(found[0]["pid"])
    process.kill()
    process.wait(30)


def _green(page: Page) -> bool:
    trusted: bool = page.evaluate("document.documentElement.dataset.trust === undefined")
    return trusted
