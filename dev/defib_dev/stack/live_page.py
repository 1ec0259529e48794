"""The dashboard from its sources, for whoever works on it: Vite before a running stack's API."""

import os
from collections.abc import Callable

from defib_dev.components import dashboard, node
from defib_dev.components.errors import ComponentError
from defib_dev.stack import describe
from defib_dev.stack import state as states
from defib_dev.stack.layout import StackFolder


def serve(folder: StackFolder, say: Callable[[str], None]) -> None:
    """Become Vite's server. Raises ComponentError where there is no stack, or are no sources."""
    sources, state = dashboard.of_checkout(), states.load(folder.state)
    if sources is None:
        raise ComponentError("an installed package has no sources of the dashboard")
    if state is None:
        raise ComponentError("nothing is up that the page could ask; `make up` starts it")
    found = node.find()
    sources.install(found, say)
    environment = found.environment() | {"DEFIB_DEV_API": describe.view(folder, state)["api"]}
    os.chdir(sources.folder)
    os.execve(found.program, [str(found.program), str(sources.vite)], environment)  # noqa: S606 - a fixed program
