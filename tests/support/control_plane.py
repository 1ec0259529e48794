"""One real etcd and kube-apiserver for a test session. Nothing is built here."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from defib_dev.components import control_plane, processes, readiness
from defib_dev.components.kube_apiserver import KubernetesApi, Ports
from defib_dev.components.kubectl import Kubectl
from defib_dev.components.ports import free_port
from support.folders import server_folder

DEFINITIONS = Path(__file__).parents[2] / "crds"

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class TestControlPlane:
    """A running API server that serves Defib's custom resources."""

    __test__ = False

    api: KubernetesApi
    kubectl: Kubectl

    @property
    def kubeconfig(self) -> Path:
        """An administrator's kubeconfig."""
        return self.api.kubeconfig

    def new_namespace(self, prefix: str = "test") -> str:
        """A namespace nobody used before. None is ever deleted: no controller would finish it."""
        name = f"{prefix}-{next(_numbers)}"
        self.kubectl.ensure_namespace(name)
        return name


@contextmanager
def running_control_plane() -> Iterator[TestControlPlane]:
    """Both servers for as long as the block lasts; they die with the test run."""
    programs, kubectl = control_plane.require(), control_plane.require_kubectl()
    with server_folder("kubernetes") as folder:
        ports = Ports(free_port(), free_port(), free_port())
        api = KubernetesApi(programs, folder / "kubernetes", ports, durable=False)
        api.prepare()
        etcd = processes.start(api.etcd_spec(dies_with_parent=True), folder / "etcd.log")
        apiserver = None
        try:
            readiness.wait_for_process(etcd, api.etcd_missing, deadline_seconds=30)
            spec = api.apiserver_spec(dies_with_parent=True)
            apiserver = processes.start(spec, folder / "apiserver.log")
            readiness.wait_for_process(apiserver, api.missing, deadline_seconds=60)
            yield TestControlPlane(api, _with_definitions(Kubectl(kubectl, api.kubeconfig)))
        finally:
            if apiserver is not None:
                processes.stop(apiserver)
            processes.stop(etcd)


def _with_definitions(kubectl: Kubectl) -> Kubectl:
    if files := sorted(DEFINITIONS.glob("*.yaml")):
        kubectl.apply_definitions(files)
    return kubectl
