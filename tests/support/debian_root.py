"""A Debian of its own, made by debootstrap, in which commands run as in a VM.

It sees this machine's kernel and network, and its processes.
"""

import asyncio
import os
import shutil
import subprocess
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from support.folders import server_folder

DEBIAN = "bookworm"
ROOT_ONLY = "a Debian of its own can be made by root only: sudo make test SUITES=agents"
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


@contextmanager
def debian_files(packages: str) -> Iterator[Path]:
    """Make its files, with these packages (a,b,c), and nothing mounted; they go afterwards."""
    program = shutil.which("debootstrap") or "/usr/sbin/debootstrap"
    if not Path(program).exists():
        pytest.fail("debootstrap is not on this machine; get it with: apt-get install debootstrap")
    if os.geteuid() != 0:
        pytest.fail(ROOT_ONLY)
    with server_folder("debian") as folder:
        root = folder / "root"
        made = subprocess.run(
            [program, "--variant=minbase", f"--include={packages}", DEBIAN, str(root)],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        log = root / "debootstrap" / "debootstrap.log"
        said = log.read_text()[-1500:] if log.exists() else ""
        assert made.returncode == 0, f"debootstrap could not fetch: {made.stdout[-500:]}{said}"
        yield root


@contextmanager
def debian_root(packages: str) -> Iterator[Path]:
    """Make it, with these packages (a,b,c), as a place to run commands in; it goes afterwards."""
    with debian_files(packages) as root:
        # The chroot sees this machine's kernel, and with it /proc.
        mounted = subprocess.run(["mount", "-t", "proc", "proc", str(root / "proc")], check=False)
        assert mounted.returncode == 0
        try:
            yield root
        finally:
            _end_all_in(root)
            subprocess.run(["umount", str(root / "proc")], check=True)


def _end_all_in(root: Path) -> None:
    """What cron or OpenRC started there outlives them."""
    for one in psutil.process_iter():
        with suppress(OSError, psutil.NoSuchProcess):
            if Path(f"/proc/{one.pid}/root").readlink() == root:
                one.kill()


async def in_debian(root: Path, command: str) -> tuple[int, str]:
    """Run a shell command there; its code and all it said."""
    async with running_in(root, "sh", "-c", command) as process:
        out, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode is not None
        return process.returncode, out.decode(errors="replace")


@asynccontextmanager
async def running_in(root: Path, *command: str) -> AsyncIterator[Process]:
    """Start a program there; it is ended with the block."""
    process = await asyncio.create_subprocess_exec(
        *("chroot", str(root), *command),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=ENVIRONMENT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def listing(root: Path) -> list[str]:
    """The agent's files there, with their modes and whether they are not root's."""
    found = []
    for name in (
        "opt/healthcheck/linux-agent.sh",
        "etc/defib/agent.conf",
        "etc/defib/agent.key",
        "etc/systemd/system/defib-agent.service",
        "etc/systemd/system/multi-user.target.wants/defib-agent.service",
    ):
        path = root / name
        if path.is_symlink() or path.exists():
            at = path.lstat()
            found.append(f"{name} {at.st_mode & 0o777:o} {at.st_uid != 0}")
    return found
