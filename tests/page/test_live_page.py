"""The dashboard from its sources, as `make page` serves it to those who work on it."""

import re
import sys
from pathlib import Path

from playwright.sync_api import expect

from defib_dev.components import processes
from defib_dev.components.processes import ProcessSpec
from page.conftest import Opened
from page.looking import shown
from support.folders import server_folder
from support.live_stack import LiveStack, defib
from support.waiting import eventually

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")


def test_the_sources_are_served_in_front_of_a_running_stack(
    stack: LiveStack, opened: Opened
) -> None:
    command = ("defib_cli.main", "dev", "page", "--state-dir", str(stack.folder))
    spec = ProcessSpec(
        "page", (sys.executable, "-m", *command), {"NO_COLOR": "1"}, dies_with_parent=True
    )
    with server_folder("live-page") as folder:
        log = folder / "page.log"
        record = processes.start(spec, log)
        try:
            address = eventually(
                lambda: ADDRESS.search(log.read_text()),
                what="Vite says where it is",
                deadline_seconds=120,
            )
            page = opened("/?view=table", api=address.group())
            shown(page)
            expect(page.locator('[data-freshness="live"]')).to_be_visible()
            assert page.locator("script[src^='/src/main.tsx']").count() == 1
        finally:
            processes.stop(record)


def test_without_a_stack_it_says_what_to_start(tmp_path: Path) -> None:
    answer = defib("dev", "page", "--state-dir", str(tmp_path / "nothing"))
    assert answer.returncode == 1
    assert "`make up` starts it" in answer.stdout + answer.stderr
