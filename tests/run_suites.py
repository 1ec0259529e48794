"""Runs the checks and the test suites one after the other, and says how long each took.

`make test` runs all of them; `make test SUITES="api store"` runs some. Each suite is a folder of
`tests/` in a pytest process of its own. Fails when one fails, or when a folder holds no test.
"""

import os
import shutil
import subprocess
import sys
import time
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
    "simulate",
    "docs",
    "stack",
    "e2e",
    "page",
    "real_guest",
)
SIDE_BY_SIDE = {
    # On a virtual clock, which no load can disturb: every core.
    "simulate": ("--numprocesses", "auto"),
    # Mostly waits for seconds to pass; a file's tests stay together, for the Debian that it makes.
    "agents": ("--numprocesses", "3", "--dist", "loadfile"),
}
"""Suites whose tests run beside each other, and how."""
NEED_PROMETHEUS = frozenset({"metrics", "e2e"})
NEEDED_PROGRAMS = {
    "busybox": "busybox",
    "chromium": "chromium",
    "curl": "curl",
    "dash": "dash",
    "debootstrap": "debootstrap",
    "pgbouncer": "pgbouncer",
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
    ran = [run(name) for name in asked]
    report(ran)
    return 0 if all(one.passed for one in ran) else 1


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
    commands = (
        [[str(BIN / one[0]), *one[1:]] for one in CHECKS]
        if name == "check"
        else [[str(BIN / "python"), "-I", "-m", "pytest", "-q", *_workers(name), f"tests/{name}"]]
    )
    results = [subprocess.run(one, cwd=ROOT, check=False).returncode == 0 for one in commands]
    return Ran(name, all(results), time.monotonic() - began)


def _workers(name: str) -> list[str]:
    return list(SIDE_BY_SIDE.get(name, ()))


def report(ran: list[Ran]) -> None:
    """Print each suite's time and the whole."""
    print("\n=== suites")
    for one in ran:
        print(f"{one.name:18} {'passed' if one.passed else 'FAILED':8} {one.seconds:7.1f} s")
    print(f"{'all':18} {'':8} {sum(one.seconds for one in ran):7.1f} s")


if __name__ == "__main__":
    sys.exit(main())
