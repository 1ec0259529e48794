"""Build programs of `dev/control-plane` into the user's cache: once, whoever asks, with progress.

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
from collections.abc import Callable
from dataclasses import dataclass
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
class GoModule:
    """The folder with go.mod, and where what is built from it is kept."""

    folder: Path
    toolchain: GoToolchain
    cache: Path

    @classmethod
    def load(cls, folder: Path = MODULE) -> "GoModule":
        """The module; says what to do where only a wheel of Defib is installed."""
        if not (folder / "go.mod").exists():
            raise MissingComponentError(
                "the sources list of the control plane (dev/control-plane/go.mod)",
                looked_in=(str(folder),),
                remedy="run this from a checkout of Defib, or set KUBEBUILDER_ASSETS",
            )
        toolchain = go_toolchain.choose(_go_version(folder))
        return cls(folder, toolchain, cache.folder() / "control-plane" / _key(folder, toolchain))

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
        package = PACKAGES[self.name]
        command = ["build", "-v", "-trimpath", "-ldflags", self._ldflags(), "-o", str(half_built)]
        self._go([*command, package], lambda: self._progress(total, started))
        half_built.rename(self.module.program(self.name))

    @property
    def log(self) -> Path:
        """Everything the toolchain said."""
        return self.module.cache / f"{self.name}.build.log"

    def _count_packages(self) -> int:
        listing = self.module.cache / f".{self.name}.packages"
        package = PACKAGES[self.name]
        self._go(["list", "-deps", package], self._fetching, output=listing)
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
                f"on where it stopped. Else set KUBEBUILDER_ASSETS to a folder with kube-apiserver "
                f"and etcd."
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
        kubernetes = self.module.version("k8s.io/kubernetes")
        major, minor, _ = kubernetes.removeprefix("v").split(".", 2)
        variables = {
            "k8s.io/component-base/version.gitVersion": kubernetes,
            "k8s.io/component-base/version.gitMajor": major,
            "k8s.io/component-base/version.gitMinor": minor,
            "k8s.io/component-base/version.gitTreeState": "clean",
            "helm.sh/helm/v3/internal/version.version": self.module.version("helm.sh/helm/v3"),
        }
        return " ".join(["-s -w", *(f"-X {name}={value}" for name, value in variables.items())])


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


def _key(folder: Path, toolchain: GoToolchain) -> str:
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "cmd/etcd/main.go"):
        digest.update((folder / name).read_bytes())
    digest.update(f"{toolchain.version} {platform.system()} {platform.machine()}".encode())
    return digest.hexdigest()[:20]


def _go_version(folder: Path) -> str:
    found = re.search(r"^go (\S+)$", (folder / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise BuildError(f"{folder / 'go.mod'} names no Go version")
    return found[1]
