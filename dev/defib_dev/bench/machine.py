"""What the figures were measured on: cores, memory, disk, versions, and whether it was quiet."""

import os
import platform
import statistics
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

import psutil

PACKAGES = (
    "defib",
    "uvicorn",
    "uvloop",
    "httptools",
    "fastapi",
    "starlette",
    "msgspec",
    "pydantic",
    "sqlalchemy",
    "psycopg",
    "redis",
)
VOLATILE = ("tmpfs", "ramfs")
SYNCS = 40
PAGE = b"\0" * 8192
GIB = 2**30

Described = dict[str, str | int | float]


def describe(folder: Path, checkout: Path) -> Described:
    """Say what this machine is; `folder` is where the database will be."""
    return {
        "processor": _processor(),
        "cores": psutil.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / GIB, 1),
        "system": f"{platform.system()} {platform.release()}",
        "filesystem": filesystem_of(folder),
        "fsync_ms": round(_fsync_ms(folder), 3),
        "python": platform.python_version(),
        "commit": _commit(checkout),
        **{f"package_{name}": version(name) for name in PACKAGES},
    }


def disturbance(seconds: float = 1.0) -> Described:
    """How busy the machine is with other things, before anything of ours runs."""
    return {
        "load_average_before": round(os.getloadavg()[0], 2),
        "busy_percent_of_a_core_before": round(
            psutil.cpu_percent(interval=seconds) * (psutil.cpu_count() or 1), 1
        ),
    }


def in_a_line(checkout: Path) -> str:
    """When and on what: the beginning of a sentence for a page."""
    return (
        f"Measured {now_text()[:10]} at commit `{_commit(checkout)}` on "
        f"{psutil.cpu_count()} cores ({_processor()}), {platform.system()} {platform.release()}"
    )


def filesystem_of(folder: Path) -> str:
    """The kind of file system that a folder is on."""
    mounts = [
        one for one in psutil.disk_partitions(all=True) if folder.is_relative_to(one.mountpoint)
    ]
    longest = max(mounts, key=lambda one: len(one.mountpoint), default=None)
    return "unknown" if longest is None else longest.fstype


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _commit(checkout: Path) -> str:
    """The commit that is measured, with a mark where files differ from it."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return answer.stdout.strip()


def _fsync_ms(folder: Path) -> float:
    """How long the disk takes to keep a page: what bounds a commit each."""
    file = folder / "fsync-probe"
    took = []
    with file.open("wb") as stream:
        for _ in range(SYNCS):
            stream.write(PAGE)
            stream.flush()
            began = perf_counter()
            os.fsync(stream.fileno())
            took.append((perf_counter() - began) * 1000)
    file.unlink()
    return statistics.median(took)


def now_text() -> str:
    """The time of day in UTC, for the record of a run."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
