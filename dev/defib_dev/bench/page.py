"""The dashboard in a real Chromium before a large fleet: what a person waits for.

Times are taken in the page, on its own clock, up to the frame in which the result is drawn. The
server's share is in them: a filter is asked of the API.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
from playwright.sync_api import Browser, Error, Page, sync_playwright

from defib_dev.bench import fleet
from defib_dev.bench.bench import Bench
from defib_dev.bench.figures import MS, BenchError, Section, Target, percentile
from defib_dev.bench.plan import PagePlan
from defib_dev.bench.servers import Keys, Served, make_keys
from defib_dev.components import dashboard, node
from defib_dev.components.ports import LOOPBACK

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
FIRST_VIEW = Target(1500, 1000, higher_is_better=False)
INTERACTION = Target(100, 50, higher_is_better=False)
GROWTH = Target(0.5, 0.1, higher_is_better=False)
UNTOUCHED = timedelta(hours=2)
"""Heartbeats and sweeps this far ahead: nobody reports here, and nothing may seem old."""
ASKED = frozenset({"filter", "sort"})
"""What the API is asked for, if not asked before; the list that repeats itself is among it."""
SETUP_SECONDS = 45.0
SAMPLE_SECONDS = 10.0
MIB = 2**20

ILL = """
UPDATE vm_state SET state = CASE vm_id % 3 WHEN 0 THEN 'down' ELSE 'warning' END
WHERE vm_id % 100 < 3
"""
JUDGED = "UPDATE operator_health SET swept_at = now() + %s"

# Resolves with the milliseconds from an act to the frame that shows its result.
TIMED = """
performance.setResourceTimingBufferSize(10000);
window.timed = (act, done) => new Promise((resolve, reject) => {
  const began = performance.now();
  act();
  const look = () => {
    if (done()) requestAnimationFrame(() => resolve(performance.now() - began));
    else if (performance.now() - began > 30000) reject(new Error('nothing changed in 30 s'));
    else requestAnimationFrame(look);
  };
  look();
});
window.rows = () => [...document.querySelectorAll('[data-row-link]')];
window.firstView = new Promise((resolve) => {
  const look = () => document.querySelector('[data-row-link]')
    ? requestAnimationFrame(() => resolve(performance.now()))
    : requestAnimationFrame(look);
  look();
});
"""
# How long the API took for each list asked for since: the rest of a wait is the page's own.
ANSWERS = """() => performance.getEntriesByType('resource')
  .filter((one) => one.name.includes('/api/vms?') && one.responseEnd > 0)
  .map((one) => one.responseEnd - one.startTime)"""
FILTER = """(state) => {
  const link = [...document.querySelectorAll('nav a')].find((one) => one.href.includes(state));
  const before = document.querySelector('[data-total]')?.dataset.total;
  return timed(() => link.click(),
    () => document.querySelector('[data-total]')?.dataset.total !== before);
}"""
SORT = """() => {
  const head = [...document.querySelectorAll('th button')].find((one) =>
    one.textContent.startsWith('Host name'));
  const before = rows()[0]?.textContent;
  return timed(() => head.click(), () => rows()[0]?.textContent !== before);
}"""
SCROLL = """(down) => {
  const before = rows().map((one) => one.textContent).join();
  const whole = document.documentElement.scrollHeight;
  return timed(() => window.scrollTo(0, down ? whole : 0),
    () => rows().map((one) => one.textContent).join() !== before);
}"""
HOVER = """([x, y]) => {
  const map = document.querySelector('[role=listbox]');
  const box = map.getBoundingClientRect();
  const at = {clientX: box.left + x, clientY: box.top + y, bubbles: true};
  const before = document.querySelector('#map-vm')?.textContent;
  return timed(() => map.dispatchEvent(new PointerEvent('pointermove', at)),
    () => (document.querySelector('#map-vm')?.textContent ?? before) !== before);
}"""


def measure(bench: Bench) -> Section | None:
    """Measure what there is time for; None where there was for none."""
    plan = bench.plan.page
    needed = SETUP_SECONDS + plan.views * 3 + plan.interactions * 2 + plan.minutes * 60
    if not bench.fits(needed, f"the page before {plan.vms:,} VMs"):
        return None
    with _serving(bench, plan) as (api, keys), _browser() as browser:
        section = Section("page", "Page", {"VMs": plan.vms, "Chromium": browser.version})
        address = f"http://{LOOPBACK}:{api.port}"
        bench.say("  first view")
        views = [_first_view(browser, address, keys) for _ in range(plan.views)]
        _add(section, "first_view", "First view", views, FIRST_VIEW)
        page = _opened(browser, address, keys)
        for key, what, times in _interactions(page, plan):
            bench.say(f"  {what}")
            page.evaluate("performance.clearResourceTimings()")
            _add(section, key, what, times(), INTERACTION)
            if key in ASKED:
                _add(section, f"{key}.api", f"{what}, of it the API", page.evaluate(ANSWERS))
        bench.say(f"  memory over {plan.minutes:g} minutes")
        _memory(page, plan, section)
    return section


def _interactions(
    page: Page, plan: PagePlan
) -> Iterator[tuple[str, str, Callable[[], list[float]]]]:
    """What a person does, by and by; each leaves the page as the next one needs it."""
    turns = range(plan.interactions)
    states = ("health=warning", "health=down")
    yield (
        "filter",
        "Filter by state",
        lambda: [page.evaluate(FILTER, states[turn % 2]) for turn in turns],
    )
    page.goto(page.url.split("?")[0] + "?view=table")
    page.evaluate("firstView")
    yield "sort", "Sort", lambda: [page.evaluate(SORT) for _ in turns]
    yield (
        "scroll",
        "Scroll a page",
        lambda: [page.evaluate(SCROLL, turn % 2 == 0) for turn in turns],
    )
    page.goto(page.url.split("?")[0] + "?view=map")
    page.wait_for_selector("[role=listbox] canvas")
    yield (
        "hover",
        "Point at a VM on the map",
        lambda: [page.evaluate(HOVER, [8 + 14 * (turn % 5), 30]) for turn in turns],
    )


def _add(
    section: Section, key: str, what: str, times: list[float], target: Target | None = None
) -> None:
    ascending = sorted(times)
    for percent in (50, 95):
        section.add(
            f"{key}.p{percent}",
            f"{what}: p{percent}",
            MS,
            [percentile(ascending, percent)],
            n=len(times),
            target=target if percent == 95 else None,  # noqa: PLR2004 - the percentile
        )


def _memory(page: Page, plan: PagePlan, section: Section) -> None:
    """Watch the heap after a collection, while the page goes on asking."""
    session = page.context.new_cdp_session(page)

    def heap() -> float:
        session.send("HeapProfiler.collectGarbage")
        used: float = page.evaluate("performance.memory.usedJSHeapSize")
        return used / MIB

    def nodes() -> float:
        return float(session.send("Memory.getDOMCounters")["nodes"])

    heap()  # what the first views left
    began = time.monotonic()
    samples, nodes_before = [heap()], nodes()
    while (passed := time.monotonic() - began) < plan.minutes * 60:
        page.wait_for_timeout(min(SAMPLE_SECONDS, plan.minutes * 60 - passed) * 1000)
        samples.append(heap())
    minutes = max((time.monotonic() - began) / 60, 1 / 60)
    section.add("heap", "Heap of the page in the end", "MiB", [samples[-1]], n=len(samples))
    section.add(
        "growth",
        f"Growth of the heap over {plan.minutes:g} minutes",
        "MiB/min",
        [(samples[-1] - samples[0]) / minutes],
        n=len(samples),
        target=GROWTH,
    )
    more = nodes() - nodes_before
    section.add("nodes", "DOM nodes more than at its beginning", "nodes", [more])


def _first_view(browser: Browser, address: str, keys: Keys) -> float:
    """From the navigation to the frame with the first VMs; the browser's cache is empty."""
    page = _opened(browser, address, keys)
    shown: float = page.evaluate("firstView")
    page.context.close()
    return shown


def _opened(browser: Browser, address: str, keys: Keys) -> Page:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(60_000)
    authorized = {"Authorization": f"Bearer {keys.admin}"}
    signed_in = context.request.post(f"{address}/api/session", headers=authorized)
    if not signed_in.ok:
        raise BenchError(f"signing in was answered {signed_in.status}")
    context.add_init_script(TIMED)
    page = context.new_page()
    page.goto(f"{address}/?view=table")
    page.evaluate("firstView")
    return page


@contextmanager
def _browser() -> Iterator[Browser]:
    if not Path(CHROMIUM).exists():
        raise BenchError("Chromium is missing. On Debian and Ubuntu: apt-get install chromium")
    flags = [*FLAGS, "--enable-precise-memory-info"]
    try:
        with sync_playwright() as playwright:
            running = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
            yield running
            running.close()
    except Error as error:
        raise BenchError(f"the page did not do what was asked: {error}") from error


@contextmanager
def _serving(bench: Bench, plan: PagePlan) -> Iterator[tuple[Served, Keys]]:
    """The API with the built page, on a fleet of which three of a hundred are unwell."""
    found = dashboard.of_checkout()
    if found is None:
        raise BenchError("the page is measured in a checkout only: here are no sources of it")
    found.build(node.find(), bench.say)
    servers = bench.servers
    database = servers.migrated_database("page")
    try:
        fleet.fill(database.superuser_url, plan.vms, ahead=UNTOUCHED)
        with psycopg.connect(database.superuser_url, autocommit=True) as connection:
            connection.execute(ILL)
            connection.execute(JUDGED, [UNTOUCHED])
        keys = bench.run(make_keys(database))
        api = servers.api(database, page=found.built)
        try:
            yield api, keys
        finally:
            api.stop()
    finally:
        servers.drop(database)
