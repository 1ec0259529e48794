"""The API under test, each on a database of its own."""

from collections.abc import AsyncIterator

import pytest

from identity.machines import Site
from support.running_api import running_api


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Site]:
    """An API that lets machines in."""
    async with running_api(database_url, None) as running:
        yield Site(running)
