"""A real browser before the real stack."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from support.folders import server_folder
from support.live_stack import LiveStack, running_stack

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
PATIENCE_MS = 60_000
AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"

Opened = Callable[..., Page]
"""Opens an address of the page in a new browser profile: `token`, `scheme`, `width`, `height`."""


@pytest.fixture(scope="session")
def stack() -> Iterator[LiveStack]:
    """All of Defib, with the demo fleet and the page."""
    with server_folder("page") as folder, running_stack(folder / "stack") as live:
        yield live


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    assert Path(CHROMIUM).exists(), "apt-get install chromium"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def opened(stack: LiveStack, browser: Browser) -> Iterator[Opened]:
    """Open pages; whatever the browser complains of in them fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(
        path: str = "/",
        *,
        token: str | None = stack.status["admin_token"],
        scheme: str = "dark",
        width: int = 1280,
        height: int = 800,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="light" if scheme == "light" else "dark",
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        if token is not None:
            context.add_init_script(f"sessionStorage.setItem('defib.token', '{token}')")
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                complaints.append(said.text) if "Content Security Policy" in said.text else None
            ),
        )
        page.goto(stack.status["api"] + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
