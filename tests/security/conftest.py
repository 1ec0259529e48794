"""The API that is attacked: a fresh one for tests that change things, one for those that ask."""

from collections.abc import AsyncIterator

import pytest

from api.conftest import logged, shared_api
from support.running_api import RunningApi, running_api

__all__ = ["logged", "shared_api"]


@pytest.fixture
async def api(database_url: str) -> AsyncIterator[RunningApi]:
    """An API on a database of its own, without a cache."""
    async with running_api(database_url, None) as running:
        yield running
