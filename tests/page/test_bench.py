"""The bench of the page on its real parts, with a fleet at which no figure means anything."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from defib_dev.bench import run
from defib_dev.bench.plan import QUICK, PagePlan

TINY = replace(QUICK, seconds=600, page=PagePlan(vms=300, views=1, interactions=2, minutes=0))


def test_each_thing_a_person_waits_for_has_its_figures(tmp_path: Path) -> None:
    arguments = (TINY, ["page"], tmp_path, lambda _: None)
    # Playwright keeps a loop running in this thread.
    with ThreadPoolExecutor(1) as aside:
        found = aside.submit(run.run, *arguments).result()
    assert (found.faults, found.left_out) == ([], [])
    keys = {figure.key for section in found.sections for figure in section.figures}
    waits = ("first_view", "filter", "filter.api", "sort", "sort.api", "scroll", "hover")
    assert keys == {
        *(f"page.{wait}.{percent}" for wait in waits for percent in ("p50", "p95")),
        "page.heap",
        "page.growth",
        "page.nodes",
    }
