"""What goes wrong around the page: odd names, odd clocks, half answers, fleets of any size."""

import re

from playwright.sync_api import Route, expect

from page.conftest import Opened
from page.looking import shown
from page.side_api import SideApi, side_api
from support.live_stack import LiveStack
from support.postgres import TestPostgres

AN_HOUR_AHEAD = """
const Real = Date;
globalThis.Date = class extends Real {
  constructor(...given) { given.length === 0 ? super(Real.now() + 3600000) : super(...given); }
  static now() { return Real.now() + 3600000; }
};
"""


def test_an_empty_fleet_says_what_to_do(postgres_server: TestPostgres, opened: Opened) -> None:
    with side_api(postgres_server, 0) as nobody:
        page = opened("/", api=nobody.url, token=nobody.token)
        expect(page.get_by_text("No VM reports yet")).to_be_visible()
        page.get_by_role("button", name="Add a VM").last.click()
        expect(page.get_by_role("dialog", name="Add a VM")).to_be_visible()
        page.get_by_role("button", name="Make a token for one VM").click()
        expect(page.get_by_text("defib_enrol_").first).to_be_visible()
        page.close()


def test_a_fleet_of_one_is_a_card(postgres_server: TestPostgres, opened: Opened) -> None:
    with side_api(postgres_server, 1) as one:
        page = opened("/", api=one.url, token=one.token)
        expect(page.locator("[data-row-link]")).to_have_count(1)
        # No operator judges this fleet, so nobody vouches for what is healthy.
        expect(page.get_by_text("No operator has looked at the fleet yet")).to_be_visible()
        assert page.evaluate("document.documentElement.dataset.trust") == "none"
        page.close()


def test_ten_thousand_vms_are_found_paged_and_mapped(large: SideApi, opened: Opened) -> None:
    page = opened("/?sort=hostname", api=large.url, token=large.token)
    expect(page.get_by_text(re.compile("^1.200 of 10,000$"))).to_be_visible()
    assert page.locator("[data-row-link]").count() < 100, "only what is in sight is in the document"
    page.get_by_role("button", name="Next page").click()
    expect(page.get_by_text(re.compile("^201.400 of 10,000$"))).to_be_visible()
    page.get_by_role("button", name="Previous page").click()
    page.keyboard.press("/")
    page.keyboard.type("vm-9999")
    expect(page.get_by_text(re.compile("^1.1 of 1$"))).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    page.keyboard.press("v")
    page.keyboard.press("m")
    plan = page.get_by_role("listbox", name=re.compile("Map of 10,000 VMs"))
    plan.hover(position={"x": 20, "y": 40})
    expect(page.locator("#map-vm")).to_be_visible()


def test_a_vm_that_is_deleted_while_one_looks_at_it_says_so(large: SideApi, opened: Opened) -> None:
    page = opened("/?view=table&search=vm-4711", api=large.url, token=large.token)
    page.locator("[data-row-link]").first.click()
    expect(page.get_by_role("button", name="Reset …")).to_be_visible()
    large.sql(
        "DELETE FROM vm_state USING vm WHERE vm.id = vm_id AND hostname = 'vm-4711';"
        "DELETE FROM vm WHERE hostname = 'vm-4711'"
    )
    expect(page.get_by_text("This VM is not known any more")).to_be_visible()
    expect(page.get_by_role("button", name="Reset …")).to_have_count(0)


def test_a_long_odd_host_name_breaks_nothing(stack: LiveStack, opened: Opened) -> None:
    odd = ".".join(["xn--" + "0" * 58 + "z"] * 3 + ["a" * 61])
    assert len(odd) == 253
    sent = stack.report(
        hostname=odd,
        vmid="2999",
        node="pve-node-1",
        status="running",
        cpuUsage=1,
        ramUsage=1,
        ramTotal=2,
        diskUsage=1,
        diskTotal=2,
        uptime=3,
        timestamp=1672531200,
    )
    assert sent.status_code == 200, sent.text
    for view, width in (("table", 1280), ("cards", 1280), ("table", 390)):
        page = opened(f"/?view={view}&search={odd}", width=width)
        expect(page.locator("[data-row-link]")).to_have_count(1)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.locator("[data-row-link]").click()
        expect(page.get_by_role("dialog", name=odd)).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_what_looks_like_markup_is_only_text(opened: Opened) -> None:
    page = opened("/?view=table&search=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E")
    expect(page.get_by_text("No VM matches")).to_be_visible()
    assert page.locator("img[src=x]").count() == 0


def test_ages_are_right_where_the_browsers_clock_is_not(opened: Opened) -> None:
    page = opened("/?view=table&search=web-server-03", script=AN_HOUR_AHEAD)
    age = page.locator("tbody time").first
    expect(age).to_have_text(re.compile(r"^\d+ s ago$"))


def test_half_an_answer_says_so_and_mends_itself(opened: Opened) -> None:
    page = opened("/system")

    def half(route: Route) -> None:
        route.fulfill(status=200, content_type="application/json", body='{"items": [')

    page.route(re.compile(r"/api/vms\?"), half)
    page.get_by_role("link", name="Fleet", exact=True).click()
    expect(page.get_by_text("The answer was cut off")).to_be_visible()
    page.unroute(re.compile(r"/api/vms\?"))
    shown(page)


def test_a_slow_answer_shows_that_it_is_awaited(opened: Opened) -> None:
    page = opened("/system")
    held: list[Route] = []
    page.route(re.compile(r"/api/vms\?"), lambda route: held.append(route))  # noqa: PLW0108 - it marks what it is given
    # The part of the page itself is loaded first, and awaited by the same words.
    with page.expect_request(re.compile(r"/api/vms\?")):
        page.get_by_role("link", name="Fleet", exact=True).click()
    expect(page.get_by_role("status").filter(has_text="Loading")).to_be_visible()
    assert held
    page.unroute(re.compile(r"/api/vms\?"))
    shown(page)
