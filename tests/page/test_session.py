"""Signing in and out, roles, and a session that ends while one works."""

import re

from playwright.sync_api import expect

from page.conftest import Opened
from page.looking import serious_findings, shown
from support.live_stack import LiveStack
from support.waiting import eventually


def test_a_token_is_exchanged_for_a_session_that_outlives_a_reload_and_ends_with_signing_out(
    stack: LiveStack, opened: Opened
) -> None:
    page = opened("/?health=healthy", token=None)
    field = page.get_by_label("Access token")
    assert serious_findings(page) == []
    field.fill("nonsense")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("token")

    field.fill(stack.status["admin_token"])
    field.press("Enter")
    shown(page)
    assert page.url.endswith("/?health=healthy")
    page.reload()
    shown(page)
    kept = page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
    )
    assert stack.status["admin_token"] not in kept
    assert "defib_session" not in kept

    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in to Defib")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Sign in to Defib")).to_be_visible()


def test_a_session_that_ends_is_begun_again_over_what_one_was_doing(
    stack: LiveStack, opened: Opened
) -> None:
    page = opened("/?view=table&search=monitoring-01")
    page.locator("[data-row-link]").first.click()
    page.get_by_role("button", name="Pause …").click()
    page.get_by_label("Why", exact=True).fill("kernel update, Kim")
    proof = page.evaluate("fetch('/api/me').then((answer) => answer.json())")["csrfToken"]
    ended = page.context.request.delete(
        stack.status["api"] + "/api/session", headers={"X-CSRF-Token": proof}
    )
    assert ended.ok

    again = page.get_by_role("dialog", name="Sign in again")
    expect(again).to_be_visible()
    # What is below it is out of reach from the moment in which Esc is the upper one's.
    expect(page.get_by_role("button", name="Pause it")).to_have_count(0)
    page.keyboard.press("Escape")
    again.get_by_label("Access token").fill(stack.status["admin_token"])
    again.get_by_label("Access token").press("Enter")
    expect(again).to_have_count(0)
    expect(page.get_by_label("Why", exact=True)).to_have_value("kernel update, Kim")
    page.get_by_role("button", name="Pause it").click()
    expect(page.get_by_role("dialog").last.get_by_role("status")).to_be_visible()
    # A list may be some seconds old.
    eventually(
        lambda: stack.vm("monitoring-01")["paused"], what="it is paused", deadline_seconds=60
    )
    expect(page.locator('[data-freshness="live"]')).to_be_attached()


def test_who_may_only_look_sees_what_it_takes_to_act(stack: LiveStack, opened: Opened) -> None:
    with stack.api as client:
        wish = {"name": "looker", "role": "viewer", "days": 1}
        token = client.post("/api/tokens", json=wish).json()["token"]
    page = opened("/?view=table&search=files-01", token=token)
    expect(page.get_by_label("Choose files-01")).to_be_disabled()
    page.locator("[data-row-link]").first.click()
    expect(page.get_by_role("button", name=re.compile("Reset … .*needs operator"))).to_be_disabled()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_text("needs administrator")).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Stop all resets"))).to_be_disabled()
