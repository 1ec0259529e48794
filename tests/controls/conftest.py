"""What people set, tested by each of its ways, on real parts."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store.engine import make_engine
from operator_process.conftest import authority_folder, empty_world, logged, world
from support import clock
from support.running_api import RunningApi, running_api
from support.stored import Stored, stored_in

__all__ = ["authority_folder", "empty_world", "logged", "world"]


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[RunningApi]:
    """An API on a database of its own, without a cache."""
    async with running_api(database_url, None) as running:
        yield running


@pytest.fixture(scope="module")
async def shared_api(module_database_url: str) -> AsyncIterator[RunningApi]:
    """An API for the tests of a module that are refused, and so change nothing."""
    async with running_api(module_database_url, None) as running:
        yield running


@pytest.fixture(scope="module")
async def engine(module_database_url: str) -> AsyncIterator[AsyncEngine]:
    """Connections to a database whose clock stands still."""
    clock.freeze(module_database_url)
    engine = make_engine(module_database_url, application="tests")
    yield engine
    await engine.dispose()


@pytest.fixture
async def stored(engine: AsyncEngine) -> AsyncIterator[Stored]:
    """A database in one transaction, at a time of the test's own."""
    async with stored_in(engine) as found:
        yield found
