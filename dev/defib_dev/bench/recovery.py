"""How long a recovery takes on the whole stack: API, operator, PostgreSQL, Kubernetes, agents.

Only Proxmox and the guests are simulated. Guests hang a few at a time, so that no brake and no
limit is in the way; from the last heartbeat to the first after the reset is what is measured.
"""

import json
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib import request

import psycopg
from rich.console import Console

from defib_dev.bench.figures import BenchError
from defib_dev.bench.plan import SafetyPlan
from defib_dev.components import control_plane
from defib_dev.components.errors import PortInUseError
from defib_dev.components.kubectl import Kubectl
from defib_dev.stack import describe
from defib_dev.stack.describe import StackView
from defib_dev.stack.down import down
from defib_dev.stack.layout import StackFolder
from defib_dev.stack.programs import NAMESPACE
from defib_dev.stack.progress import Board
from defib_dev.stack.up import Wish, up

STALE_SECONDS = 20
"""As the demo's SystemConfig has it; the figures are read beside it."""
BOOT_SECONDS = 10
FIRST_VMID = 2000
AT_A_TIME = 6
"""Of the demo's twelve and these; few enough for every brake."""
ROUND_SECONDS = 60.0
UP_SECONDS = 90.0
ROUND_LASTS_AT_MOST = 240.0
TRIES = 20
LIMITS = {"spec": {"safety": {"maxConcurrentPercent": 100, "maxConcurrentPerNode": AT_A_TIME}}}
NODES = ("pve-node-1", "pve-node-2", "pve-node-3")

ARMED = """
SELECT count(*) FROM vm v JOIN vm_state s ON s.vm_id = v.id
WHERE v.vmid >= %s AND s.reports >= 3 AND v.uid IS NOT NULL AND s.state = 'healthy'
"""
RECOVERED = """
SELECT v.vmid, extract(epoch FROM r.recovered_at - (
    SELECT max(m.at) FROM vm_metric m WHERE m.vm_id = r.vm_id AND m.at < r.sent_at))::float8
FROM reset_history r JOIN vm v ON v.id = r.vm_id
WHERE v.vmid >= %s AND r.recovered_at IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class Recovered:
    """Seconds of each recovery, ascending, and the POSTs that led there."""

    seconds: Sequence[float]
    posts: int
    second_posts: int


def estimate(plan: SafetyPlan) -> float:
    """Seconds it will take, about."""
    return UP_SECONDS + ROUND_SECONDS * -(-plan.frozen // AT_A_TIME)


def measure(plan: SafetyPlan, say: Callable[[str], None]) -> Recovered:
    """Have so many guests hang once each; raises ComponentError."""
    with _stack() as stack:
        say("the stack is up; guests begin to report")
        _lift_limits(stack)
        vmids = [FIRST_VMID + number for number in range(plan.frozen)]
        for vmid in vmids:
            _control(stack, "POST", "/control/guests", _guest(vmid))
        _eventually(lambda: _count(stack, ARMED) >= len(vmids), "all guests are armed")
        for first in range(0, len(vmids), AT_A_TIME):
            _one_round(stack, vmids[first : first + AT_A_TIME], say)
        return _result(stack)


def _one_round(stack: StackView, vmids: Sequence[int], say: Callable[[str], None]) -> None:
    for vmid in vmids:
        _control(stack, "PATCH", f"/control/guests/{vmid}", {"frozen": True})
    _eventually(lambda: set(vmids) <= _recovered(stack).keys(), f"{len(vmids)} guests are back")
    say(f"{len(_recovered(stack))} recoveries")


def _result(stack: StackView) -> Recovered:
    sent = Counter(
        post["vmid"]
        for post in _control(stack, "GET", "/control/state", None)["posts"]
        if post["vmid"] >= FIRST_VMID
    )
    with psycopg.connect(stack["database_url"]) as connection:
        found = connection.execute(
            "SELECT v.vmid, count(*) FROM reset_step p JOIN reset_history r ON r.id = p.intent_id"
            " JOIN vm v ON v.id = r.vm_id WHERE v.vmid >= %s GROUP BY 1",
            [FIRST_VMID],
        ).fetchall()
    claimed: dict[int, int] = dict(found)
    beyond = sum(max(0, count - claimed.get(vmid, 0)) for vmid, count in sent.items())
    return Recovered(sorted(_recovered(stack).values()), sum(sent.values()), beyond)


def _recovered(stack: StackView) -> dict[int, float]:
    with psycopg.connect(stack["database_url"]) as connection:
        rows = connection.execute(RECOVERED, [FIRST_VMID]).fetchall()
    return {vmid: seconds for vmid, seconds in rows if seconds is not None}


def _count(stack: StackView, statement: str) -> int:
    with psycopg.connect(stack["database_url"]) as connection:
        row = connection.execute(statement.encode(), [FIRST_VMID]).fetchone()
    return 0 if row is None else int(row[0])


def _guest(vmid: int) -> dict[str, object]:
    node = NODES[vmid % len(NODES)]
    return {"vmid": vmid, "name": f"bench-{vmid}", "node": node, "bootSeconds": BOOT_SECONDS}


def _lift_limits(stack: StackView) -> None:
    program = control_plane.obtain_kubectl(lambda _: None)
    kubectl = Kubectl(program, Path(stack["kubeconfig"]))
    where = ("--namespace", NAMESPACE, "systemconfig", "default")
    kubectl.run("patch", *where, "--type=merge", f"--patch={json.dumps(LIMITS)}")


def _control(stack: StackView, method: str, path: str, body: object) -> Any:  # noqa: ANN401 - JSON
    asked = request.Request(  # noqa: S310 - the simulator's own address
        stack["proxmox"]["control"] + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with request.urlopen(asked, timeout=10) as answer:  # noqa: S310 - same
        return json.load(answer)


def _eventually(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + ROUND_LASTS_AT_MOST
    while not is_so():
        if time.monotonic() > deadline:
            raise BenchError(f"waited {ROUND_LASTS_AT_MOST:.0f} s in vain until {what}")
        time.sleep(0.5)


@contextmanager
def _stack() -> Iterator[StackView]:
    """All of Defib in a folder of its own, with the demo's short timeouts; gone in the end."""
    home = Path(tempfile.mkdtemp(prefix="defib-bench-stack-"))
    home.chmod(0o755)  # PostgreSQL does not run as root, and must get in
    folder = StackFolder(home / "stack")
    with Board(Console(stderr=True, quiet=True)) as board:
        try:
            yield _up(folder, board)
        finally:
            down(folder, board, purge=True)
            shutil.rmtree(home, ignore_errors=True)


def _up(folder: StackFolder, board: Board) -> StackView:
    chance = random.SystemRandom()
    for _ in range(TRIES):
        offset = chance.randrange(1_000, 20_000)
        try:
            return describe.view(folder, up(Wish(folder, offset), board))
        except PortInUseError:
            down(folder, board, purge=False)
    raise BenchError(f"no free ports were found for a stack in {TRIES} tries")
