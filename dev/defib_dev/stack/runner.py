"""Bring processes to what is wanted, one at a time, and remember each at once."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from defib_dev.components import ports, processes, readiness
from defib_dev.components.processes import Ending, ProcessRecord, ProcessSpec
from defib_dev.components.readiness import Check
from defib_dev.stack import state as states
from defib_dev.stack.layout import StackFolder
from defib_dev.stack.state import StackState


def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True)
class Service:
    """A process the stack wants running, and how to tell that it serves."""

    title: str
    spec: ProcessSpec
    ports: tuple[int, ...] = ()
    missing: Check = field(default=lambda: None)
    deadline_seconds: float = 60.0
    prepare: Callable[[], None] = _nothing


@dataclass(slots=True)
class Runner:
    """Starts and stops a stack's processes. Every change is on disk before the next is made."""

    folder: StackFolder
    state: StackState

    def is_running(self, service: Service) -> bool:
        """Whether it runs already, started in the same way."""
        record = self.state.record(service.spec.name)
        return record is not None and processes.is_running(record) and _same(record, service.spec)

    def require_free_ports(self, name: str, title: str, wanted: tuple[int, ...]) -> None:
        """Raise `PortInUseError` for a port that a process still to be started needs."""
        record = self.state.record(name)
        if record is not None and processes.is_running(record):
            return  # its own, and given back before a restart
        for port in wanted:
            ports.require_free(port, needed_by=title)

    def ensure(self, service: Service) -> bool:
        """Have it running and ready; true when it was started now."""
        fresh = not self.is_running(service)
        if fresh:
            self.stop(service.spec.name)
            service.prepare()
            for port in service.ports:
                ports.require_free(port, needed_by=service.title)
            record = processes.start(service.spec, self.log(service.spec.name))
            self._remember(self.state.with_process(record))
        current = self.state.record(service.spec.name)
        assert current is not None
        deadline = service.deadline_seconds
        readiness.wait_for_process(current, service.missing, deadline_seconds=deadline)
        return fresh

    def stop(self, name: str) -> Ending:
        """Stop it when it runs, and forget it."""
        record = self.state.record(name)
        if record is None:
            return Ending.NOT_RUNNING
        ending = processes.stop(record)
        self._remember(self.state.without(name))
        return ending

    def keep_only(self, names: set[str]) -> None:
        """Stop what an earlier `up` wanted and this one does not."""
        for record in reversed(self.state.processes):
            if record.name not in names:
                self.stop(record.name)

    def log(self, name: str) -> Path:
        """Where a process writes."""
        return self.folder.logs / f"{name}.log"

    def settle(self, *, port_offset: int, demo: bool) -> None:
        """Remember what this `up` was asked for."""
        self._remember(replace(self.state, port_offset=port_offset, demo=demo))

    def _remember(self, state: StackState) -> None:
        self.state = state
        states.save(self.folder.state, state)


def _same(record: ProcessRecord, spec: ProcessSpec) -> bool:
    return record.argv == spec.argv
