"""A real browser before the real stack. One stack serves all tests; each uses VMs of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from defib_dev.bench.page import CHROMIUM, FLAGS
from page.cast import Cast
from page.side_api import SideApi, side_api
from support.folders import server_folder
from support.live_stack import LiveStack, running_stack
from support.postgres import TestPostgres

PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)

THE_STACKS = "the administrator's token of the stack"

Opened = Callable[..., Page]
"""Opens an address of the page in a new browser profile.

`token` is exchanged for a session first (None: signed out), `api` is another API than the stack's,
`script` runs before the page does; `scheme`, `width`, `height` are the browser's.
"""


@pytest.fixture(scope="session")
def stack() -> Iterator[LiveStack]:
    """All of Defib, with the demo fleet and the page."""
    with server_folder("page") as folder, running_stack(folder / "stack") as live:
        yield live


@pytest.fixture(scope="session")
def cast(stack: LiveStack) -> Cast:
    """VMs for the tests beside the demo's, all of them reporting and armed."""
    cast = Cast(stack)
    cast.enter()
    return cast


@pytest.fixture(scope="session")
def large(postgres_server: TestPostgres) -> Iterator[SideApi]:
    """An API before 10,000 VMs, without an operator."""
    with side_api(postgres_server, 10_000) as found:
        yield found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium."""
    assert Path(CHROMIUM).exists(), "apt-get install chromium"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture
def opened(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Opened]:
    """Open pages; whatever the browser complains of in them fails the test.

    The stack is started for those only who ask for nothing else.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_page(
        path: str = "/",
        *,
        token: str | None = THE_STACKS,
        api: str | None = None,
        script: str | None = None,
        scheme: str = "dark",
        width: int = 1280,
        height: int = 800,
    ) -> Page:
        if api is None or token == THE_STACKS:
            status = request.getfixturevalue("stack").status
            api = api or status["api"]
            token = status["admin_token"] if token == THE_STACKS else token
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="light" if scheme == "light" else "dark",
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        if token is not None:
            signed_in = context.request.post(
                f"{api}/api/session", headers={"Authorization": f"Bearer {token}"}
            )
            assert signed_in.ok, signed_in.text()
        if script is not None:
            context.add_init_script(script)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda said: (
                complaints.append(said.text) if "Content Security Policy" in said.text else None
            ),
        )
        page.goto(api + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
