"""What must not happen, on the whole stack: resets of the living, of crowds, of the locked, twice.

Each test adds guests of its own to the simulated cluster; the demo fleet reports for them.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg
import pytest

from support.live_stack import LiveStack, defib
from support.ports import free_offset
from support.waiting import eventually

STALE_SECONDS = 20
DEADLINE = 150


def query(stack: LiveStack, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(stack.status["database_url"]) as connection:
        return connection.execute(sql, values).fetchall()  # type: ignore[arg-type]


def resets_of_ours(stack: LiveStack) -> int:
    """Resets of the guests of these tests; the demo's own story goes on beside them."""
    counted: int = query(
        stack,
        "SELECT count(*) FROM reset_history r JOIN vm v ON v.id = r.vm_id WHERE v.vmid >= 2000",
    )[0][0]
    return counted


def add_guests(stack: LiveStack, names: list[str], first_vmid: int, node: str) -> None:
    for number, name in enumerate(names):
        stack.control(
            "POST",
            "/control/guests",
            vmid=first_vmid + number,
            name=name,
            node=node,
            bootSeconds=10,
        )
    eventually(
        lambda: all(stack.vm(name).get("state") == "healthy" for name in names),
        what="the new guests report",
        deadline_seconds=60,
    )
    eventually(
        lambda: all(armed(stack, name) for name in names),
        what="the new guests are armed",
        deadline_seconds=90,
    )


def armed(stack: LiveStack, name: str) -> bool:
    found = query(
        stack,
        "SELECT s.reports >= 3 AND v.uid IS NOT NULL FROM vm v JOIN vm_state s ON s.vm_id = v.id"
        " WHERE v.hostname = %s",
        name,
    )
    return bool(found and found[0][0])


def states(stack: LiveStack, names: list[str]) -> list[str]:
    found = query(
        stack,
        "SELECT s.state FROM vm v JOIN vm_state s ON s.vm_id = v.id WHERE v.hostname = ANY(%s)",
        names,
    )
    assert len(found) == len(names)
    return [state for (state,) in found]


def freeze(stack: LiveStack, vmid: int) -> None:
    stack.control("PATCH", f"/control/guests/{vmid}", frozen=True)


def hold_of(stack: LiveStack, name: str) -> str | None:
    return stack.vm(name).get("holdReason")


def recovered(stack: LiveStack, name: str) -> bool:
    history = stack.resets(name)
    return bool(history and history[0]["recoveredAt"])


def wait_until_recovered(stack: LiveStack, name: str, what: str) -> None:
    eventually(
        lambda: recovered(stack, name),
        what=what,
        deadline_seconds=DEADLINE,
        why=lambda: explained(stack, name),
    )


def wait_until_sent(stack: LiveStack, name: str, vmid: int, what: str) -> None:
    eventually(
        lambda: posts(stack, vmid),
        what=what,
        deadline_seconds=DEADLINE,
        why=lambda: explained(stack, name),
    )


def explained(stack: LiveStack, name: str) -> str:
    """Why the VM is not being reset, and who works on the database."""
    why = stack.get(f"/api/vms/{stack.vm(name)['id']}/explain")
    sessions = query(
        stack,
        "SELECT application_name, state, wait_event, now() - state_change, left(query, 80)"
        " FROM pg_stat_activity WHERE application_name LIKE 'defib-%%' AND state <> 'idle'",
    )
    return f"{json.dumps(why, indent=1)} {sessions}"


def posts(stack: LiveStack, vmid: int) -> list[str]:
    seen = stack.control("GET", "/control/state")["posts"]
    return [post["action"] for post in seen if post["vmid"] == vmid]


def process(stack: LiveStack, name: str) -> psutil.Process:
    status = defib("dev", "status", "--json", "--state-dir", str(stack.folder))

    found = [one for one in json.loads(status.stdout)["processes"] if one["name"] == name]
    return psutil.Process(found[0]["pid"])


def start_what_is_missing(stack: LiveStack) -> None:
    again = defib("dev", "up", "--state-dir", str(stack.folder), timeout=300)
    assert again.returncode == 0, again.stdout + again.stderr


def sweeps_after(stack: LiveStack, seconds: float) -> None:
    """Wait until a sweep has ended this long after now, by the database's clock."""
    (since,) = query(stack, "SELECT clock_timestamp()")[0]
    eventually(
        lambda: query(
            stack,
            "SELECT 1 FROM operator_health WHERE swept_at > %s + make_interval(secs => %s)",
            since,
            seconds,
        ),
        what=f"a sweep {seconds} s from now",
        deadline_seconds=seconds + 60,
    )


def test_an_api_outage_longer_than_the_timeout_resets_nobody(stack: LiveStack) -> None:
    names = [f"outage-{number}" for number in range(50)]
    add_guests(stack, names, 2000, "pve-node-2")
    before = resets_of_ours(stack)
    api = process(stack, "api")

    api.kill()
    api.wait(10)
    eventually(
        lambda: query(
            stack,
            "SELECT 1 FROM ingest_liveness HAVING clock_timestamp() - max(proved_at)"
            " > make_interval(secs => %s)",
            STALE_SECONDS + 5,
        ),
        what="ingest is blind for longer than the stale timeout",
        deadline_seconds=60,
    )
    assert "down" not in states(stack, names)
    start_what_is_missing(stack)
    sweeps_after(stack, STALE_SECONDS + 5)

    assert resets_of_ours(stack) == before
    assert all(stack.vm(name)["state"] == "healthy" for name in names)


def test_a_locked_vm_is_held_and_reset_when_it_is_unlocked(stack: LiveStack) -> None:
    add_guests(stack, ["locked-1"], 2100, "pve-node-1")
    stack.control("PATCH", "/control/guests/2100", lock="backup")
    freeze(stack, 2100)

    eventually(
        lambda: hold_of(stack, "locked-1") == "VMLocked",
        what="the lock holds the reset",
        deadline_seconds=DEADLINE,
    )
    assert posts(stack, 2100) == []

    stack.control("PATCH", "/control/guests/2100", lock=None)
    wait_until_recovered(stack, "locked-1", "it is reset then")
    assert posts(stack, 2100) == ["reset"]


def test_a_switched_off_node_is_not_forty_dead_guests(stack: LiveStack) -> None:
    names = [f"on-node-{number}" for number in range(4)]
    add_guests(stack, names, 2200, "pve-node-3")
    before = resets_of_ours(stack)

    stack.control("PATCH", "/control/nodes/pve-node-3", online=False)
    eventually(
        lambda: all(hold_of(stack, name) for name in names),
        what="every guest of the node is held",
        deadline_seconds=DEADLINE,
    )
    reasons = {hold_of(stack, name) for name in names}
    stack.control("PATCH", "/control/nodes/pve-node-3", online=True)
    eventually(
        lambda: all(stack.vm(name)["state"] == "healthy" for name in names),
        what="the node's guests are back",
        deadline_seconds=DEADLINE,
    )

    assert reasons <= {"NodeBrake", "FleetBrake", "PathFailure", "NodeOffline"}
    assert resets_of_ours(stack) == before


def test_an_operator_killed_between_post_and_answer_does_not_reset_twice(
    stack: LiveStack,
) -> None:
    add_guests(stack, ["killed-1"], 2300, "pve-node-1")
    stack.control("PATCH", "/control/api", taskSeconds=5)
    try:
        freeze(stack, 2300)
        wait_until_sent(stack, "killed-1", 2300, "the reset is sent")
        operator = process(stack, "operator")
        operator.kill()
        operator.wait(10)
    finally:
        stack.control("PATCH", "/control/api", taskSeconds=0.3)
    start_what_is_missing(stack)
    wait_until_recovered(stack, "killed-1", "the next operator follows it to its recovery")

    assert posts(stack, 2300) == ["reset"]
    assert [one["success"] for one in stack.resets("killed-1")] == [True]


@contextmanager
def second_operator(stack: LiveStack) -> Iterator[subprocess.Popen[bytes]]:
    url = stack.folder / "secrets" / "database-url"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("DEFIB_")},
        "DEFIB_DATABASE_URL_FILE": str(url),
        "DEFIB_KUBECONFIG": stack.status["kubeconfig"],
        "DEFIB_PROBE_HOST": "127.0.0.1",
        "DEFIB_PROBE_PORT": str(8081 + free_offset()),
        "DEFIB_IDENTITY": "the-second",
    }
    with (stack.folder / "logs" / "second-operator.log").open("wb") as log:
        started = subprocess.Popen(
            [sys.executable, "-m", "defib_cli.main", "operator", "run"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield started
    finally:
        started.terminate()
        started.wait(20)


def leader(stack: LiveStack) -> str | None:
    found = query(stack, "SELECT holder FROM leader_lease WHERE expires_at > clock_timestamp()")
    return found[0][0] if found else None


def test_two_operators_send_one_reset(stack: LiveStack) -> None:
    add_guests(stack, ["two-1"], 2400, "pve-node-1")

    with second_operator(stack):
        freeze(stack, 2400)
        wait_until_recovered(stack, "two-1", "it is healed")

    assert posts(stack, 2400) == ["reset"]


def stop_in_a_transaction(stack: LiveStack, operator: psutil.Process) -> None:
    """Stop it while it holds locks, which is when it harms its successor most."""

    def stopped_there() -> bool:
        operator.send_signal(signal.SIGSTOP)
        open_ones = query(
            stack,
            "SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            " WHERE a.client_port = ANY(%s) AND a.state = 'idle in transaction'"
            " AND l.locktype = 'transactionid'",
            [one.laddr.port for one in operator.net_connections("tcp")],
        )
        if not open_ones:
            operator.send_signal(signal.SIGCONT)
        return bool(open_ones)

    eventually(stopped_there, what="it is stopped in a transaction", deadline_seconds=90)


def test_a_leader_that_was_stopped_and_goes_on_sends_nothing_more(stack: LiveStack) -> None:
    add_guests(stack, ["stopped-1"], 2500, "pve-node-2")
    first = process(stack, "operator")

    with second_operator(stack):
        eventually(lambda: leader(stack) not in {None, "the-second"}, what="the first leads")
        freeze(stack, 2500)
        stop_in_a_transaction(stack, first)
        try:
            eventually(
                lambda: leader(stack) == "the-second",
                what="the second takes over",
                deadline_seconds=60,
            )
            wait_until_sent(stack, "stopped-1", 2500, "the second sends the reset")
        finally:
            first.send_signal(signal.SIGCONT)
        wait_until_recovered(stack, "stopped-1", "it is healed")

    assert posts(stack, 2500) == ["reset"]


@pytest.fixture(autouse=True)
def quiet(stack: LiveStack) -> None:
    """Every test begins with a fleet that is well."""
    eventually(
        lambda: (
            not query(
                stack,
                "SELECT 1 FROM vm_state s JOIN vm v ON v.id = s.vm_id"
                " WHERE s.state IN ('down', 'reset_failed') AND v.vmid >= 2000",
            )
        ),
        what="no guest of an earlier test is down",
        deadline_seconds=60,
    )
