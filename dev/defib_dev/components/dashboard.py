"""The dashboard's packages and its built page, each made again only when its sources changed."""

import hashlib
import subprocess
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import defib_dev
from defib_dev.components import cache
from defib_dev.components.cache import Report
from defib_dev.components.errors import BuildError
from defib_dev.components.node import Node

_SOURCES = ("src", "public", "index.html", "vite.config.ts", "tsconfig.json", "package-lock.json")
_LAST_LINES = 15


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The folder `frontend/` of a checkout."""

    folder: Path

    @property
    def built(self) -> Path:
        """The built page, to be served as it is."""
        return self.folder / "dist"

    @property
    def vite(self) -> Path:
        """Vite's program, once the packages are there."""
        return self.folder / "node_modules" / "vite" / "bin" / "vite.js"

    def install(self, node: Node, report: Report) -> None:
        """Have the locked packages, nothing else."""
        with self._alone(report) as say:
            self._install(node, say)

    def build(self, node: Node, report: Report) -> None:
        """Have the built page of these sources."""
        with self._alone(report) as say:
            self._install(node, say)
            stamp, wanted = self.folder / ".cache" / "built", _digest(self._sources())
            if self.built.is_dir() and _read(stamp) == wanted:
                return
            say("building the page")
            stamp.unlink(missing_ok=True)
            self._run(node, str(node.program), str(self.vite), "build")
            stamp.write_text(wanted)

    def _install(self, node: Node, say: Report) -> None:
        lock = self.folder / "package-lock.json"
        stamp = self.folder / "node_modules" / ".defib-installed"
        wanted = f"{node.version} {_digest([lock, self.folder / 'package.json'])}"
        if _read(stamp) == wanted:
            return
        say("fetching its packages from the npm registry")
        self._run(node, *node.npm_command("ci", "--no-audit", "--no-fund", "--loglevel=error"))
        stamp.write_text(wanted)

    def _sources(self) -> list[Path]:
        found: list[Path] = []
        for name in _SOURCES:
            place = self.folder / name
            found += sorted(one for one in place.rglob("*") if one.is_file()) or [place]
        return [one for one in found if one.is_file()]

    def _run(self, node: Node, *command: str) -> None:
        answer = subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env=node.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if answer.returncode != 0:
            last = "\n".join(answer.stdout.splitlines()[-_LAST_LINES:])
            what = " ".join(Path(word).name for word in command[1:3])
            raise BuildError(f"the dashboard could not be built ({what}):\n{last}")

    def _alone(self, report: Report) -> AbstractContextManager[Report]:
        lock = self.folder / ".cache" / "lock"
        return cache.exclusive(lock, report=report, cancelled=lambda: False)


def of_checkout() -> Dashboard | None:
    """The checkout's dashboard; None in an installed package, which has no sources."""
    folder = Path(defib_dev.__file__).parents[2] / "frontend"
    return Dashboard(folder) if (folder / "package-lock.json").exists() else None


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except FileNotFoundError:
        return ""
