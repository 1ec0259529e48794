"""The API that is attacked: a fresh one for tests that change things, one for those that ask."""

from collections.abc import AsyncIterator, Iterator

import pytest

from support.logged import Logged, logging_kept
from support.running_api import RunningApi, running_api


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[RunningApi]:
    """An API on a database of its own."""
    async with running_api(database_url, None) as running:
        yield running


@pytest.fixture(scope="module")
async def shared_api(module_database_url: str) -> AsyncIterator[RunningApi]:
    """An API for a whole module."""
    async with running_api(module_database_url, None) as running:
        yield running


@pytest.fixture
def logged() -> Iterator[Logged]:
    """What is logged during the test."""
    with logging_kept() as kept:
        yield kept
