"""Where kube-apiserver, etcd, kubectl and helm come from.

In this order: the folder in KUBEBUILDER_ASSETS (what setup-envtest fills), the PATH, the user's
cache, and a build from source into that cache. `find_*` only look; `obtain_*` build when they must.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from defib_dev.components import go_build
from defib_dev.components.cache import Report
from defib_dev.components.errors import ComponentError, MissingComponentError
from defib_dev.components.go_build import GoModule

_SERVERS = ("kube-apiserver", "etcd")
_ASSETS = "KUBEBUILDER_ASSETS"


@dataclass(frozen=True, slots=True)
class ControlPlanePrograms:
    """The two servers and where they come from."""

    kube_apiserver: Path
    etcd: Path
    source: str


def find() -> ControlPlanePrograms | None:
    """Both servers from one place, or None when they would have to be built."""
    for folder, source in _places():
        if _has(folder, _SERVERS):
            return ControlPlanePrograms(folder / "kube-apiserver", folder / "etcd", source)
    on_path = [shutil.which(name) for name in _SERVERS]
    if on_path[0] and on_path[1]:
        return ControlPlanePrograms(Path(on_path[0]), Path(on_path[1]), "the PATH")
    return _cached()


def require() -> ControlPlanePrograms:
    """Both servers, without building: for tests, which must not take ten minutes by surprise."""
    return find() or _refuse("kube-apiserver and etcd", "defib dev control-plane")


def obtain(report: Report, cancelled: Callable[[], bool] = lambda: False) -> ControlPlanePrograms:
    """Both servers, built when they are nowhere (minutes of both cores, once per user)."""
    if (found := find()) is not None:
        return found
    module = GoModule.load()
    # etcd first: it takes seconds, and tells early when the toolchain or the network is at fault.
    go_build.ensure(module, ("etcd", "kube-apiserver"), report=report, cancelled=cancelled)
    return _cached() or _refuse("kube-apiserver and etcd", "defib dev control-plane")


def find_kubectl() -> Path | None:
    """A kubectl that fits the server: beside it, or our own; not just any on the PATH."""
    servers = find()
    beside = [servers.kube_apiserver.parent] if servers else []
    return _find_tool("kubectl", beside)


def find_helm() -> Path | None:
    """Helm 3 from the PATH, or our own."""
    on_path = shutil.which("helm")
    return Path(on_path) if on_path else _find_tool("helm", [])


def require_kubectl() -> Path:
    """Kubectl without building it."""
    return find_kubectl() or _refuse("kubectl", "defib dev control-plane")


def require_helm() -> Path:
    """Helm without building it."""
    return find_helm() or _refuse("helm", "defib dev control-plane --helm")


def obtain_kubectl(report: Report, cancelled: Callable[[], bool] = lambda: False) -> Path:
    """Kubectl, built when missing (seconds once the API server was built)."""
    return find_kubectl() or _build_tool("kubectl", report, cancelled)


def obtain_helm(report: Report, cancelled: Callable[[], bool] = lambda: False) -> Path:
    """Helm, built when missing."""
    return find_helm() or _build_tool("helm", report, cancelled)


def _places() -> list[tuple[Path, str]]:
    assets = os.environ.get(_ASSETS)
    if not assets:
        return []
    if not _has(Path(assets), _SERVERS):
        raise ComponentError(
            f"{_ASSETS}={assets} holds no kube-apiserver and etcd. Unset it, or fill it: "
            f"setup-envtest use -p path"
        )
    return [(Path(assets), _ASSETS)]


def _cached() -> ControlPlanePrograms | None:
    module = _module()
    if module is None or not _has(module.cache, _SERVERS):
        return None
    servers = [module.program(name) for name in _SERVERS]
    return ControlPlanePrograms(servers[0], servers[1], "built from source")


def _find_tool(name: str, beside: list[Path]) -> Path | None:
    module = _module()
    folders = [*beside, *([module.cache] if module else [])]
    return next((folder / name for folder in folders if _has(folder, (name,))), None)


def _build_tool(name: str, report: Report, cancelled: Callable[[], bool]) -> Path:
    module = GoModule.load()
    go_build.ensure(module, (name,), report=report, cancelled=cancelled)
    return module.program(name)


def _module() -> GoModule | None:
    try:
        return GoModule.load()
    except MissingComponentError:
        return None


def _has(folder: Path, names: tuple[str, ...]) -> bool:
    return all(os.access(folder / name, os.X_OK) for name in names)


def _refuse(part: str, remedy: str) -> NoReturn:
    raise MissingComponentError(
        part,
        looked_in=(f"the folder in {_ASSETS}", "the PATH", "the per-user cache"),
        remedy=f"{remedy} (builds it from source, once per user, and shows progress)",
    )
