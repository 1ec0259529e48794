"""Runs the checks and the test suites, two at a time, and says how long each took.

`make test` runs all of them; `make test SUITES="api store"` runs some, `LANES=1` one after the
other with their output as it comes. Each suite is a folder of `tests/` in a pytest process of its
own. Fails when one fails, or when a folder holds no test.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"

CHECKS = (
    ("ruff", "format", "--check", "--quiet", "."),
    ("ruff", "check", "--quiet", "."),
    ("mypy",),
    ("lint-imports", "--no-logo"),
    ("shellcheck", "agents/linux/linux-agent.sh", "agents/linux/install.sh"),
    ("hadolint", "Containerfile"),
    ("defib", "dev", "chart", "--check"),
)
SUITES = (
    "layout",
    "domain",
    "cli",
    "store",
    "components",
    "crds",
    "proxmox",
    "agents",
    "fleet_sim",
    "bench",
    "api",
    "frontend",
    "identity",
    "security",
    "relay",
    "metrics",
    "notify",
    "pipeline",
    "controls",
    "doctor",
    "operator_process",
    "chart",
    "docs",
    "stack",
    "e2e",
    "page",
    "real_guest",
    "simulate",
)
LONGEST = (
    "check",
    "operator_process",
    "e2e",
    "page",
    "api",
    "controls",
    "agents",
    "stack",
    "chart",
)
"""Begun first, so that the lanes end at about the same time; the checks before all, as they tell
soonest what is wrong."""
SIDE_BY_SIDE = {
    # On a virtual clock, which no load can disturb: every core, when all else has begun.
    "simulate": ("--numprocesses", "auto"),
    # Mostly waits for seconds to pass; a file's tests stay together, for the Debian that it makes.
    "agents": ("--numprocesses", "3", "--dist", "loadfile"),
}
"""Suites whose tests run beside each other, and how."""
LANES = 2
"""Most suites wait for timers most of the time, so that two share two cores well."""
SAY_EVERY_SECONDS = 60
NEED_PROMETHEUS = frozenset({"metrics", "e2e"})
NEEDED_PROGRAMS = {
    "busybox": "busybox",
    "chromium": "chromium",
    "curl": "curl",
    "dash": "dash",
    "debootstrap": "debootstrap",
    "mke2fs": "e2fsprogs",
    "pgbouncer": "pgbouncer",
    "redis-check-rdb": "redis-tools",
    "qemu-system-x86_64": "qemu-system-x86",
    "wget": "wget",
}
"""Programs that only tests need, and the Debian packages they come from."""


@dataclass(frozen=True)
class Ran:
    """One suite's outcome."""

    name: str
    passed: bool
    seconds: float


def main() -> int:
    """Run what is asked for; return the exit code."""
    asked = sys.argv[1:] or ["check", *SUITES]
    unknown = [name for name in asked if name not in {"check", *SUITES}]
    if unknown:
        print(f"There is no suite {', '.join(unknown)}. Suites: check {' '.join(SUITES)}")
        return 2
    wanted = os.environ.get("LANES") or str(LANES)
    if not wanted.isdecimal() or int(wanted) == 0:
        print(f"LANES says how many suites run at a time: 1 or more, not {wanted!r}")
        return 2
    forgotten = sorted(
        folder.name
        for folder in (ROOT / "tests").iterdir()
        if any(folder.glob("**/test_*.py")) and folder.name not in SUITES
    )
    if forgotten:
        print(f"These folders of tests/ are in no suite: {', '.join(forgotten)}")
        return 2
    install_programs()
    if asked != ["check"] and not build("Kubernetes programs", "control-plane", "--helm"):
        return 1
    if NEED_PROMETHEUS & set(asked) and not build("Prometheus", "prometheus"):
        return 1
    began = time.monotonic()
    lanes = min(len(asked), int(wanted))
    ran = [run(name) for name in asked] if lanes == 1 else list(run_in_lanes(asked, lanes))
    report(ran, began)
    return 0 if all(one.passed for one in ran) else 1


def run_in_lanes(asked: list[str], lanes: int) -> Iterator[Ran]:
    """Run several at once; print each one's output when it ends, and meanwhile what runs."""
    queue = sorted(asked, key=lambda name: LONGEST.index(name) if name in LONGEST else len(LONGEST))
    print(f"\n{len(queue)} suites, {lanes} at a time (LANES=1: one after the other)", flush=True)
    began: dict[str, float] = {}
    with ThreadPoolExecutor(lanes) as pool:
        waiting = {pool.submit(run_quietly, name, began) for name in queue}
        while waiting:
            done, waiting = wait(waiting, SAY_EVERY_SECONDS, FIRST_COMPLETED)
            for one in done:
                yield _shown(one, began, len(waiting))
            if not done:
                running = (f"{name} {time.monotonic() - at:.0f} s" for name, at in began.items())
                print(f"... {', '.join(running)}; {len(waiting)} not ended", flush=True)


def run_quietly(name: str, began: dict[str, float]) -> tuple[Ran, str]:
    """Run one suite and keep what it prints."""
    began[name] = time.monotonic()
    texts, passed = [], True
    for command in commands(name):
        ended = subprocess.run(
            command,
            cwd=ROOT,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        texts.append(ended.stdout)
        passed = passed and ended.returncode == 0
    return Ran(name, passed, time.monotonic() - began[name]), "".join(texts)


def _shown(one: Future[tuple[Ran, str]], began: dict[str, float], left: int) -> Ran:
    ran, text = one.result()
    del began[ran.name]
    outcome = "passed" if ran.passed else "FAILED"
    print(f"\n=== {ran.name}: {outcome} after {ran.seconds:.0f} s, {left} not ended", flush=True)
    print(text.rstrip(), flush=True)
    return ran


def install_programs() -> None:
    """Install what only tests need where that is allowed; else the tests say how to get it."""
    missing = [name for program, name in NEEDED_PROGRAMS.items() if shutil.which(program) is None]
    if not any(Path("/boot").glob("vmlinuz-*")):
        missing.append("linux-image-cloud-amd64")
    if not missing or os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    print(f"Installing for the tests: {' '.join(missing)}", flush=True)
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
    ):
        subprocess.run(command, check=False, stdout=subprocess.DEVNULL)


def build(title: str, *command: str) -> bool:
    """Get programs by `defib dev ...`; on a new machine they are built once, with progress."""
    print(f"\n=== {title}", flush=True)
    built = subprocess.run([str(BIN / "defib"), "dev", *command], cwd=ROOT, check=False)
    return built.returncode == 0


def run(name: str) -> Ran:
    """Run one suite with its output shown."""
    print(f"\n=== {name}", flush=True)
    began = time.monotonic()
    ended = [subprocess.run(one, cwd=ROOT, check=False).returncode == 0 for one in commands(name)]
    return Ran(name, all(ended), time.monotonic() - began)


def commands(name: str) -> list[list[str]]:
    """Give what one suite is."""
    if name == "check":
        return [[str(BIN / one[0]), *one[1:]] for one in CHECKS]
    beside = SIDE_BY_SIDE.get(name, ())
    return [[str(BIN / "python"), "-I", "-m", "pytest", "-q", *beside, f"tests/{name}"]]


def report(ran: list[Ran], began: float) -> None:
    """Print each suite's time and the whole."""
    print("\n=== suites")
    for one in ran:
        print(f"{one.name:18} {'passed' if one.passed else 'FAILED':8} {one.seconds:7.1f} s")
    whole = time.monotonic() - began
    print(f"{'all':18} {'':8} {whole:7.1f} s, each by itself {sum(one.seconds for one in ran):.1f}")


if __name__ == "__main__":
    sys.exit(main())
