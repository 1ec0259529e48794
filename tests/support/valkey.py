"""One real Valkey (or Redis) for a test session."""

from collections.abc import Iterator
from contextlib import contextmanager

from defib_dev.components import processes, readiness, valkey
from defib_dev.components.ports import free_port
from defib_dev.components.valkey import ValkeyServer
from support.folders import server_folder


@contextmanager
def running_valkey() -> Iterator[ValkeyServer]:
    """A server for as long as the block lasts; it dies with the test run, whatever happens."""
    with server_folder("valkey") as folder:
        server = ValkeyServer(valkey.find(), folder / "valkey", free_port())
        server.prepare()
        record = processes.start(server.spec(dies_with_parent=True), folder / "valkey.log")
        try:
            readiness.wait_for_process(record, server.missing, deadline_seconds=10)
            yield server
        finally:
            processes.stop(record)
