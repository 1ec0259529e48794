"""A store in one transaction, for figures that are counted there."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store.engine import make_engine
from support import clock
from support.postgres import TestPostgres
from support.stored import Stored, stored_in


@pytest.fixture(scope="session")
async def shared_engine(postgres_server: TestPostgres) -> AsyncIterator[AsyncEngine]:
    """A database whose clock stands still; nobody commits anything in it."""
    url = postgres_server.migrated_database()
    clock.freeze(url)
    engine = make_engine(url, application="tests")
    yield engine
    await engine.dispose()
    postgres_server.drop(url)


@pytest.fixture
async def stored(shared_engine: AsyncEngine) -> AsyncIterator[Stored]:
    """The store in one transaction."""
    async with stored_in(shared_engine) as found:
        yield found
