"""A database of the test's own, with a VM in it."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from defib_core.store.engine import make_engine
from notify.outbox import Outbox


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = make_engine(database_url, application="tests")
    yield made
    await made.dispose()


@pytest.fixture
async def outbox(engine: AsyncEngine) -> Outbox:
    made = Outbox(engine)
    await made.furnish()
    return made
