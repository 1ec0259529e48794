"""A page that nobody looks at: it costs nothing, and claims nothing when somebody looks again."""

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, Route, expect

from page.conftest import Opened
from page.looking import shown
from support.live_stack import LiveStack

LIST, COUNTS = re.compile(r"/api/vms\?"), re.compile(r"/api/status$")
# Headless tabs are always in sight: the page is told otherwise, as a browser would tell it.
SHOW = """(state) => {
  Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
  document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
}"""
TRUSTED = "document.documentElement.dataset.trust === undefined"


def live(page: Page) -> None:
    shown(page)
    expect(page.locator('[data-freshness="live"]')).to_be_visible()
    page.wait_for_function(TRUSTED)


def asleep(page: Page) -> None:
    page.evaluate(SHOW, "hidden")
    expect(page.locator('[data-freshness="connecting"]')).to_be_visible()
    assert not page.evaluate(TRUSTED), "nothing is green that nobody asks for"


def test_a_tab_out_of_sight_asks_nothing_and_catches_up_at_once(
    stack: LiveStack, opened: Opened
) -> None:
    page = opened("/?view=table&search=files-01")
    live(page)
    asleep(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    paused = f"/api/vms/{stack.vm('files-01')['id']}/pause"
    with stack.api as client:
        assert client.post(paused, json={"reason": "moved", "minutes": None}).is_success
    beside = opened("/?view=table&search=files-01")
    expect(flag(beside)).to_be_visible()
    asked_for_counts(beside, 3, lambda: None)
    assert asked == []
    expect(flag(page)).to_have_count(0)

    page.evaluate(SHOW, "visible")
    expect(flag(page)).to_be_visible()
    live(page)
    with stack.api as client:
        assert client.delete(paused, params={"reason": "moved"}).is_success


def test_what_was_shown_before_is_not_green_again_until_it_was_asked_for(opened: Opened) -> None:
    page = opened("/?view=table&search=files-01")
    live(page)
    asleep(page)
    held: list[Route] = []
    page.route(LIST, lambda route: held.append(route))  # noqa: PLW0108 - it marks what it is given
    asked_for_counts(page, 2, lambda: page.evaluate(SHOW, "visible"))
    assert held
    expect(page.locator('[data-freshness="connecting"]')).to_be_visible()
    assert not page.evaluate(TRUSTED), "the API answers, the list does not"
    page.unroute(LIST)
    live(page)


def flag(page: Page) -> Locator:
    return page.locator("tbody").get_by_text("Paused")


def asked_for_counts(page: Page, times: int, begin: Callable[[], object]) -> None:
    """Wait until a page has asked for the counts so often, which it does every five seconds."""
    with page.expect_response(COUNTS):
        begin()
    for _ in range(times - 1):
        with page.expect_response(COUNTS):
            pass
