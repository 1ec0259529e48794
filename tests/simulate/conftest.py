"""A database for simulations, one for the whole session, and scenarios written in tests."""

from collections.abc import Callable, Iterator

import pytest

from defib_dev.simulate.database import SimulatedDatabase, running_database
from defib_dev.simulate.parse import parse_scenario
from defib_dev.simulate.run import Outcome, simulate

Play = Callable[[str], Outcome]


@pytest.fixture(scope="session")
def simulated_database() -> Iterator[SimulatedDatabase]:
    with running_database() as database:
        yield database


@pytest.fixture(scope="session")
def play(simulated_database: SimulatedDatabase) -> Play:
    """Plays a scenario given as text."""
    return lambda text: simulate(parse_scenario(text), simulated_database)
