"""What Defib has found out and nobody asked for: copies, what is not covered, relays not heard."""

import re

from playwright.sync_api import expect

from page.conftest import Opened
from page.side_api import SideApi


def test_a_vm_that_two_machines_report_for_is_marked_and_says_what_to_do(
    large: SideApi, opened: Opened
) -> None:
    large.sql(
        "UPDATE vm_state SET clone_since = defib_now() FROM vm"
        " WHERE vm.id = vm_id AND hostname = 'vm-4242'"
    )
    for view in ("table", "cards"):
        page = opened(f"/?view={view}&search=vm-4242", api=large.url, token=large.token)
        mark = page.get_by_text("Two machines", exact=True)
        expect(mark).to_have_attribute("title", re.compile("Stop the agent in the copy"))
    page.locator("[data-row-link]").click()
    dialog = page.get_by_role("dialog", name="vm-4242")
    expect(dialog.get_by_text("Two machines", exact=True)).to_be_visible()
    warning = dialog.get_by_role("alert").filter(has_text="their boot ids alternate")
    expect(warning).to_contain_text("stop the agent in the copy, and enrol it by itself")


def test_what_is_not_covered_is_listed_to_the_end(large: SideApi, opened: Opened) -> None:
    page = opened("/system", api=large.url, token=large.token)
    # No ProxmoxCluster was applied here: all of these agents belong to nothing.
    page.get_by_text(
        re.compile(r"^Agents that belong to no VM in Proxmox: (10,000|9,999)$")
    ).click()
    listed = page.get_by_role("region", name="Agents that belong to no VM in Proxmox")
    expect(listed.locator("tbody tr")).to_have_count(50)
    page.get_by_role("button", name="50 more").click()
    expect(listed.locator("tbody tr")).to_have_count(100)
    page.get_by_role("button", name="All 1,000").click()
    expect(listed.locator("tbody tr")).to_have_count(1000)
    expect(page.get_by_text("These are the first 1,000.")).to_be_visible()
    listed.locator("a").first.click()
    expect(page).to_have_url(re.compile(r"/vm/vm_\d+$"))


def test_a_message_that_was_given_up_is_shown_with_what_sends_it_again(
    large: SideApi, opened: Opened
) -> None:
    large.sql(
        "INSERT INTO delivery (destination, group_key, severity, notices, created_at, next_at,"
        " attempts, dead_at, error) VALUES ('on-call', 'node default/pve1', 'critical', '[]',"
        " now(), now(), 1, now(), 'it was answered 404')"
    )
    page = opened("/settings", api=large.url, token=large.token)
    expect(page.get_by_text("0 waiting, 1 given up")).to_be_visible()
    lost = page.get_by_role("row").filter(has_text="node default/pve1")
    expect(lost).to_contain_text("Given up: it was answered 404")
    expect(lost).to_contain_text(re.compile(r"defib notify retry \d+"))


def test_a_relay_that_is_not_heard_is_told_on_every_view(large: SideApi, opened: Opened) -> None:
    large.sql(
        "INSERT INTO relay (name, cluster_id, sha256, proved_at, waiting, lost)"
        " SELECT 'berlin', id, sha256('berlin'), now() - interval '1 hour', 7, 0"
        " FROM proxmox_cluster"
    )
    page = opened("/", api=large.url, token=large.token)
    expect(page.get_by_text("The relay berlin was last heard 1 h ago")).to_be_visible()
    page.get_by_role("link", name="System", exact=True).click()
    expect(page.get_by_text("berlin: not heard")).to_be_visible()
    expect(page.get_by_text("7 reports on its disk")).to_be_visible()
    large.sql("DELETE FROM relay")
    expect(page.get_by_text("The relay berlin")).to_have_count(0)
