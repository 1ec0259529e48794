"""Build programs from a go.mod of ours into the user's cache: once, whoever asks, with progress.

The cache's key is what goes in: the module files, the toolchain's version and the platform. A lock
keeps two checkouts from building the same thing; the second waits and shows the first's progress.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import defib_dev
from defib_dev.components import cache, go_toolchain
from defib_dev.components.cache import Cancelled, Report
from defib_dev.components.errors import BuildError, MissingComponentError, log_tail
from defib_dev.components.go_toolchain import GoToolchain

MODULE = Path(defib_dev.__file__).parents[1] / "control-plane"

PACKAGES = {
    "etcd": "./cmd/etcd",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "helm": "helm.sh/helm/v3/cmd/helm",
}

_PAUSE_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Recipe:
    """What is built from a folder with a go.mod, and how."""

    folder: Path
    packages: Mapping[str, str]
    """The package of each program."""
    otherwise: str
    """What a user may do where it cannot be built."""
    tags: tuple[str, ...] = ()
    stamps: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Variables that take the version of a dependency: its module, and the variables."""


CONTROL_PLANE = Recipe(
    MODULE,
    PACKAGES,
    "set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd",
    stamps={
        "k8s.io/kubernetes": ("k8s.io/component-base/version.gitVersion",),
        "helm.sh/helm/v3": ("helm.sh/helm/v3/internal/version.version",),
    },
)


@dataclass(frozen=True, slots=True)
class GoModule:
    """The folder with go.mod, and where what is built from it is kept."""

    folder: Path
    toolchain: GoToolchain
    cache: Path
    recipe: Recipe = CONTROL_PLANE

    @classmethod
    def load(cls, recipe: Recipe = CONTROL_PLANE) -> "GoModule":
        """The module; says what to do where only a wheel of Defib is installed."""
        folder = recipe.folder
        if not (folder / "go.mod").exists():
            raise MissingComponentError(
                f"the list of sources (dev/{folder.name}/go.mod)",
                looked_in=(str(folder),),
                remedy=f"run this from a checkout of Defib, or {recipe.otherwise}",
            )
        toolchain = go_toolchain.choose(_go_version(folder))
        place = cache.folder() / folder.name / _key(folder, toolchain, recipe.tags)
        return cls(folder, toolchain, place, recipe)

    def program(self, name: str) -> Path:
        """Where the built program is, or will be."""
        return self.cache / name

    def version(self, dependency: str) -> str:
        """The version go.mod takes of a dependency, such as v1.37.2."""
        text = (self.folder / "go.mod").read_text()
        found = re.search(rf"^\s*(?:require )?{re.escape(dependency)} (v\S+)", text, re.MULTILINE)
        if found is None:
            raise BuildError(f"{self.folder / 'go.mod'} does not name {dependency}")
        return found[1]


def ensure(
    module: GoModule,
    names: tuple[str, ...],
    *,
    report: Report,
    cancelled: Callable[[], bool] = lambda: False,
) -> None:
    """Build those of the programs that are not in the cache yet."""
    if all(module.program(name).exists() for name in names):
        return
    lock = module.cache.parent / f"{module.cache.name}.lock"
    with cache.exclusive(lock, report=report, cancelled=cancelled) as share:
        missing = [name for name in names if not module.program(name).exists()]
        if missing:
            go_toolchain.fetch(module.toolchain, share)
        for name in missing:
            _Build(module, name, share, cancelled).run()


@dataclass(slots=True)
class _Build:
    """One program being built. Its log lies beside it, for whoever has to look."""

    module: GoModule
    name: str
    report: Report
    cancelled: Callable[[], bool]

    def run(self) -> None:
        """Build under another name, then rename: a half-built program is never found."""
        self.module.cache.mkdir(parents=True, exist_ok=True)
        self.log.write_bytes(b"")
        half_built = self.module.cache / f".{self.name}.new"
        started = time.monotonic()
        total = self._count_packages()
        flags = ["-v", "-trimpath", "-ldflags", self._ldflags(), *self._tags()]
        command = ["build", *flags, "-o", str(half_built), self._package]
        self._go(command, lambda: self._progress(total, started))
        half_built.rename(self.module.program(self.name))

    @property
    def _package(self) -> str:
        return self.module.recipe.packages[self.name]

    def _tags(self) -> list[str]:
        tags = self.module.recipe.tags
        return ["-tags", ",".join(tags)] if tags else []

    @property
    def log(self) -> Path:
        """Everything the toolchain said."""
        return self.module.cache / f"{self.name}.build.log"

    def _count_packages(self) -> int:
        listing = self.module.cache / f".{self.name}.packages"
        command = ["list", "-deps", *self._tags(), self._package]
        self._go(command, self._fetching, output=listing)
        count = len(listing.read_text().splitlines())
        listing.unlink()
        return count

    def _go(
        self, arguments: list[str], line: Callable[[], str], output: Path | None = None
    ) -> None:
        """Run the toolchain, reporting `line()` while it works."""
        with self.log.open("ab") as log, (output or self.log).open("ab") as out:
            child = subprocess.Popen(
                [*_politely(), str(self.module.toolchain.program), *arguments],
                cwd=self.module.folder,
                env={**os.environ, **_SETTINGS},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )
            try:
                self._watch(child, line)
            finally:
                if child.poll() is None:
                    child.terminate()
                    child.wait()
        if child.returncode != 0:
            raise BuildError(
                f"building {self.name} failed (exit {child.returncode}). Last lines of "
                f"{self.log}:\n{log_tail(self.log)}\nIf a download failed, run this again: it goes "
                f"on where it stopped. Else {self.module.recipe.otherwise}."
            )

    def _watch(self, child: subprocess.Popen[bytes], line: Callable[[], str]) -> None:
        while child.poll() is None:
            if self.cancelled():
                raise Cancelled
            self.report(line())
            time.sleep(_PAUSE_SECONDS)

    def _fetching(self) -> str:
        fetched = self.log.read_text(errors="replace").count("go: downloading")
        return f"{self.name}: fetching sources" + (f" ({fetched} modules)" if fetched else "")

    def _progress(self, total: int, started: float) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        compiled = sum(1 for text in lines if not text.startswith("go: "))
        minutes, seconds = divmod(int(time.monotonic() - started), 60)
        return f"{self.name}: {compiled} of at most {total} packages, {minutes}:{seconds:02d}"

    def _ldflags(self) -> str:
        variables = {
            variable: self.module.version(dependency)
            for dependency, names in self.module.recipe.stamps.items()
            for variable in names
        }
        if self.module.recipe is CONTROL_PLANE:
            variables |= _kubernetes_version(variables)
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in variables.items())])


def _kubernetes_version(variables: Mapping[str, str]) -> dict[str, str]:
    """The parts of the version by which clients and server know each other."""
    place = "k8s.io/component-base/version"
    major, minor, _ = variables[f"{place}.gitVersion"].removeprefix("v").split(".", 2)
    return {
        f"{place}.gitMajor": major,
        f"{place}.gitMinor": minor,
        f"{place}.gitTreeState": "clean",
    }


# GOTOOLCHAIN=local: the chosen toolchain is new enough, so nothing is fetched behind our back.
_SETTINGS = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-mod=readonly -buildvcs=false",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
}


def _politely() -> list[str]:
    """Minutes of compiling must not take the machine from what starts meanwhile."""
    nice = shutil.which("nice")
    return [nice, "-n", "5"] if nice else []


def _key(folder: Path, toolchain: GoToolchain, tags: tuple[str, ...] = ()) -> str:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "cmd/etcd/main.go"):
        if (folder / name).exists():
            digest.update((folder / name).read_bytes())
    digest.update(f"{toolchain.version} {platform.system()} {platform.machine()}".encode())
    digest.update(",".join(tags).encode())
    return digest.hexdigest()[:20]


def _go_version(folder: Path) -> str:
    found = re.search(r"^go (\S+)$", (folder / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise BuildError(f"{folder / 'go.mod'} names no Go version")
    return found[1]
