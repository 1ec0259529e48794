"""The dashboard's sources with their packages, fetched once."""

import subprocess
from collections.abc import Callable

import pytest

from defib_dev.components import dashboard, node
from defib_dev.components.dashboard import Dashboard
from defib_dev.components.node import Node

Run = Callable[..., None]
"""Runs a program of `node_modules`; fails with its output unless it ends well."""


@pytest.fixture(scope="session")
def found_node() -> Node:
    """The Node that builds the page."""
    return node.find()


@pytest.fixture(scope="session")
def sources(found_node: Node) -> Dashboard:
    """The checkout's dashboard, its locked packages beside it."""
    found = dashboard.of_checkout()
    assert found is not None
    found.install(found_node, print)
    return found


@pytest.fixture(scope="session")
def run(sources: Dashboard, found_node: Node) -> Run:
    """Run one of the packages' programs in the dashboard's folder."""

    def run(program: str, *arguments: str) -> None:
        ran = subprocess.run(
            [str(sources.folder / "node_modules" / ".bin" / program), *arguments],
            cwd=sources.folder,
            env={**found_node.environment(), "NO_COLOR": "1"},
            check=False,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert ran.returncode == 0, f"{program}:\n{ran.stdout[-6000:]}\n{ran.stderr[-3000:]}"

    return run
