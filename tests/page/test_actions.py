"""What a person does about a VM, from the button to the proof."""

import re

from playwright.sync_api import Page, expect

from page.cast import FAILING, LOCKED, LONELY, MANUAL, STORY, Cast
from page.conftest import Opened
from page.looking import act, details, shown
from support.live_stack import LiveStack
from support.waiting import eventually

LONG_MS = 180_000


def open_vm(opened: Opened, cast: Cast, name: str) -> Page:
    page = opened(f"/?view=table&vm={cast.vm_id(name)}")
    details(page, name)
    return page


def test_a_reset_by_hand_is_pending_until_a_heartbeat_proves_it(
    stack: LiveStack, cast: Cast, opened: Opened
) -> None:
    page = open_vm(opened, cast, MANUAL)
    page.get_by_role("button", name="Reset …").click()
    page.get_by_role("dialog", name=f"Reset {MANUAL}").get_by_role(
        "button", name="Cancel"
    ).first.click()
    assert stack.resets(MANUAL) == []

    dialog = act(page, "Reset …", "hangs at login, Kim", "Reset now")
    expect(dialog.get_by_text("Its heartbeat is back: the reset helped.")).to_be_visible()
    pending = [one["phase"] for one in stack.resets(MANUAL)]
    assert pending == ["succeeded"]
    dialog.get_by_role("button", name="Close").last.click()
    history = details(page, MANUAL).get_by_role("row", name=re.compile("hangs at login, Kim"))
    expect(history).to_contain_text("Carried out")
    expect(history).to_contain_text(re.compile(r"after \d+ s"))


def test_a_locked_vm_is_refused_with_the_reason(cast: Cast, opened: Opened) -> None:
    cast.change(LOCKED, lock="backup")
    page = open_vm(opened, cast, LOCKED)
    dialog = act(page, "Reset …", "slow", "Reset now")
    expect(dialog.get_by_role("alert")).to_contain_text("Refused: VMLocked")
    expect(dialog.get_by_role("alert")).to_contain_text("it is locked in Proxmox (backup)")
    cast.change(LOCKED, lock=None)


def test_a_token_without_rights_is_refused_with_the_reason(
    stack: LiveStack, cast: Cast, opened: Opened
) -> None:
    page = open_vm(opened, cast, LOCKED)
    stack.control("PATCH", "/control/api", mode="forbidden")
    try:
        dialog = act(page, "Reset …", "slow", "Reset now")
        expect(dialog.get_by_role("alert")).to_contain_text("Refused: ProxmoxForbidden")
    finally:
        stack.control("PATCH", "/control/api", mode="ok")


def test_what_proxmox_says_when_it_fails_is_shown(
    stack: LiveStack, cast: Cast, opened: Opened
) -> None:
    page = open_vm(opened, cast, FAILING)
    stack.control("POST", "/control/next-post", outcome="http500")
    dialog = act(page, "Reset …", "slow", "Reset now")
    expect(dialog.get_by_text("Proxmox said")).to_be_visible()
    words = stack.resets(FAILING)[0]["error"]
    expect(dialog.get_by_role("alert")).to_contain_text(words)


def test_a_frozen_vms_story_is_told_while_it_happens(cast: Cast, opened: Opened) -> None:
    page = open_vm(opened, cast, STORY)
    dialog = details(page, STORY)
    cast.change(STORY, frozen=True)
    expect(dialog.get_by_title(re.compile("silent for longer")).first).to_be_visible(
        timeout=LONG_MS
    )
    expect(dialog.get_by_text("Figures of its last report: it is silent now")).to_be_visible()
    expect(dialog.get_by_text("Reset pending").first).to_be_visible(timeout=LONG_MS)
    expect(dialog.get_by_text("Reset pending")).to_have_count(0, timeout=LONG_MS)
    reset = dialog.get_by_role("row", name=re.compile("Auto-reset: stale VM"))
    expect(reset).to_contain_text(re.compile(r"after \d+ s"))
    expect(dialog.get_by_role("row", name=re.compile("HeartbeatMissing"))).to_be_visible()
    expect(dialog.get_by_role("row", name=re.compile("HeartbeatFresh"))).to_be_visible()


def test_a_pause_has_an_end_and_can_be_ended(cast: Cast, opened: Opened) -> None:
    page = open_vm(opened, cast, LOCKED)
    page.get_by_role("button", name="Pause …").click()
    page.get_by_label("Until", exact=True).select_option("30")
    page.get_by_label("Why", exact=True).fill("disk check")
    page.get_by_role("button", name="Pause it").click()
    page.get_by_role("dialog").last.get_by_role("button", name="Close").last.click()
    expect(details(page, LOCKED).get_by_text("Paused until", exact=True)).to_be_visible()
    assert cast.now(LOCKED)["pausedUntil"] is not None
    dialog = act(page, "End the pause …", "done", "End the pause")
    dialog.get_by_role("button", name="Close").last.click()
    expect(details(page, LOCKED).get_by_text("Paused until", exact=True)).to_have_count(0)


def test_several_are_reset_together_after_the_number_is_typed(
    stack: LiveStack, cast: Cast, opened: Opened
) -> None:
    page = opened("/?view=table&search=web-server")
    shown(page)
    for name in ("web-server-01", "web-server-02", "web-server-03"):
        page.get_by_label(f"Choose {name}").check()
    expect(page.get_by_text("3 VMs chosen")).to_be_visible()
    page.get_by_label("Choose web-server-03").uncheck()
    page.get_by_role("button", name="Reset 2 VMs …").click()
    page.get_by_label("Why", exact=True).fill("switch replaced")
    page.get_by_role("button", name="Cancel").first.click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert all(
        one["reason"] != "switch replaced"
        for name in ("web-server-01", "web-server-02")
        for one in stack.resets(name)
    )

    page.get_by_role("button", name="Reset 2 VMs …").click()
    page.get_by_label("Why", exact=True).fill("switch replaced")
    page.get_by_label("Type 2 to confirm").fill("2")
    page.get_by_role("button", name="Reset 2 VMs", exact=True).click()
    expect(page.get_by_role("button", name="Done")).to_be_visible()
    for name in ("web-server-01", "web-server-02"):
        assert stack.resets(name)[0]["reason"] == "switch replaced"
    assert stack.resets("web-server-03") == []


def test_a_vm_past_its_attempts_is_forced_by_an_administrator_and_cleared(
    stack: LiveStack, cast: Cast, opened: Opened
) -> None:
    cast.wait(LONELY, "reset_failed")
    page = open_vm(opened, cast, LONELY)
    dialog = act(page, "Reset …", "console shows a panic", "Reset now")
    expect(dialog.get_by_text("Tick “Force it”")).to_be_visible()
    cast.change(LONELY, bootSeconds=3)
    dialog.get_by_label(re.compile("Force it")).check()
    dialog.get_by_role("button", name="Reset now").click()
    expect(page.get_by_text("Its heartbeat is back: the reset helped.")).to_be_visible()
    page.get_by_role("dialog").last.get_by_role("button", name="Close").last.click()

    cleared = act(page, "Clear …", "new kernel", "Clear it")
    expect(cleared.get_by_role("status")).to_be_visible()
    eventually(
        lambda: stack.vm(LONELY)["resetAttempts"] == 0, what="no attempts left", deadline_seconds=30
    )


def test_a_global_stop_is_seen_everywhere_and_ended_by_a_word(
    stack: LiveStack, opened: Opened
) -> None:
    page = opened("/settings")
    page.get_by_role("button", name="Stop all resets …").click()
    page.get_by_label("Why", exact=True).fill("storage is going down")
    page.get_by_role("button", name="Cancel").first.click()
    assert stack.get("/api/global-stop")["stopped"] is False

    stopped = act(page, "Stop all resets …", "storage is going down", "Stop all resets")
    stopped.get_by_role("button", name="Close").last.click()
    page.get_by_role("link", name="Fleet", exact=True).click()
    expect(page.get_by_text("All resets are stopped")).to_be_visible()
    page.get_by_role("link", name="Settings").click()
    ending = act(page, "Allow resets again …", "storage is back", "Allow resets")
    expect(ending.get_by_text("Type go: every VM")).to_be_visible()
    ending.get_by_label("Type go to confirm").fill("go")
    ending.get_by_role("button", name="Allow resets", exact=True).click()
    expect(page.get_by_role("dialog").last.get_by_role("status")).to_be_visible()
    assert stack.get("/api/global-stop")["stopped"] is False
    page.get_by_role("dialog").last.get_by_role("button", name="Close").last.click()
    page.get_by_role("link", name="Audit").click()
    expect(page.get_by_role("row", name=re.compile("storage is back"))).to_be_visible()
