"""One live stack for the whole suite; each test uses VMs of its own."""

from collections.abc import Iterator

import pytest

from support.folders import server_folder
from support.live_stack import LiveStack, running_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[LiveStack]:
    """All of Defib, with the demo fleet."""
    with server_folder("e2e") as folder, running_stack(folder / "stack") as live:
        yield live
