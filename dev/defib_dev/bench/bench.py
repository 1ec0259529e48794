"""What every measurement works with: the servers, the plan, the clock of the whole run.

It collects what went wrong and what was left out, so that nothing is hidden by a table.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, TypeVar

import uvloop

from defib_dev.bench.plan import Plan
from defib_dev.bench.servers import Servers

T = TypeVar("T")
Say = Callable[[str], None]


@dataclass(slots=True)
class Bench:
    """One run."""

    plan: Plan
    servers: Servers
    say: Say
    began: float = field(default_factory=monotonic)
    faults: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def fits(self, seconds: float, what: str) -> bool:
        """Whether there is time for what takes about so long; where not, note it as left out."""
        left = self.plan.seconds - (monotonic() - self.began)
        if seconds <= left:
            self.say(what)
            return True
        self.left_out.append(f"{what} (needs about {seconds:.0f} s, and {max(left, 0):.0f} s left)")
        self.say(f"left out, as there is no time: {what}")
        return False

    def fault(self, what: str | None) -> None:
        """Note what went wrong; None is nothing."""
        if what is not None:
            self.faults.append(what)
            self.say(f"FAULT: {what}")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on a loop of its own, of the kind that costs least."""
        return uvloop.run(work)
