"""A Kubernetes API of the bench's own, and many VirtualMachines in it.

The API server is the real one on a real etcd that syncs to disk, without nodes or controllers.
"""

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import aiohttp

from defib_core.config.resources import API_VERSION, GROUP, VERSION, VIRTUAL_MACHINE
from defib_dev.bench import fleet
from defib_dev.bench.figures import BenchError
from defib_dev.components import control_plane, processes, readiness
from defib_dev.components.kube_apiserver import KubernetesApi, Ports
from defib_dev.components.kubectl import Kubectl
from defib_dev.components.ports import free_port
from defib_dev.components.processes import ProcessRecord
from defib_dev.stack.resources import definitions

START_SECONDS = 90.0
AT_ONCE = 24
CREATED, OK = 201, 200
MERGE_PATCH = "application/merge-patch+json"

Work = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Objects:
    """The running API server, and the namespace that the objects are in."""

    api: KubernetesApi
    apiserver: ProcessRecord
    etcd: ProcessRecord
    namespace: str

    @property
    def kubeconfig(self) -> Path:
        """An administrator's kubeconfig."""
        return self.api.kubeconfig

    @property
    def path(self) -> str:
        """Where VirtualMachines are."""
        names = f"namespaces/{self.namespace}/{VIRTUAL_MACHINE.plural}"
        return f"{self.api.url}/apis/{GROUP}/{VERSION}/{names}"


@contextmanager
def running(folder: Path, namespace: str) -> Iterator[Objects]:
    """Etcd and kube-apiserver with Defib's definitions, for the block."""
    programs, kubectl = control_plane.require(), control_plane.require_kubectl()
    api = KubernetesApi(programs, folder, Ports(free_port(), free_port(), free_port()))
    api.prepare()
    with ExitStack() as stack:
        etcd = processes.start(api.etcd_spec(dies_with_parent=True), folder / "etcd.log")
        stack.callback(processes.stop, etcd)
        readiness.wait_for_process(etcd, api.etcd_missing, deadline_seconds=START_SECONDS)
        spec = api.apiserver_spec(dies_with_parent=True)
        apiserver = processes.start(spec, folder / "apiserver.log")
        stack.callback(processes.stop, apiserver)
        readiness.wait_for_process(apiserver, api.missing, deadline_seconds=START_SECONDS)
        client = Kubectl(kubectl, api.kubeconfig)
        client.apply_definitions(definitions())
        client.ensure_namespace(namespace)
        yield Objects(api, apiserver, etcd, namespace)


async def create(objects: Objects, numbers: Sequence[int]) -> float:
    """Create the VirtualMachines of these VMs; return how many a second that were."""
    async with _session(objects) as session:

        async def one(number: int) -> None:
            body = json.dumps(manifest(number, objects.namespace)).encode()
            headers = {"Content-Type": "application/json"}
            async with session.post(objects.path, data=body, headers=headers) as answer:
                await _expect(answer, CREATED)

        return await _each(numbers, one)


async def patch_statuses(objects: Objects, numbers: Sequence[int]) -> float:
    """Write a status to each, by a client that does nothing else; return how many a second."""
    async with _session(objects) as session:

        async def one(number: int) -> None:
            where = f"{objects.path}/{fleet.hostname_of(number)}/status"
            body = json.dumps({"status": {"resetAttempts": 1}}).encode()
            headers = {"Content-Type": MERGE_PATCH}
            async with session.patch(where, data=body, headers=headers) as answer:
                await _expect(answer, OK)

        return await _each(numbers, one)


def manifest(number: int, namespace: str) -> dict[str, object]:
    """The object as a person or a pipeline would write it."""
    return {
        "apiVersion": API_VERSION,
        "kind": VIRTUAL_MACHINE.kind,
        "metadata": {
            "name": fleet.hostname_of(number),
            "namespace": namespace,
            "labels": {"rack": f"r{number % fleet.NODES}", "team": f"t{number % 7}"},
        },
        "spec": {
            "vmid": int(fleet.vmid_of(number)),
            "hostname": fleet.hostname_of(number),
            "clusterRef": {"name": "default"},
        },
    }


async def _each(numbers: Sequence[int], one: Work) -> float:
    """Do it for all, some at a time; return how many a second."""
    left = iter(numbers)

    async def some() -> None:
        for number in left:
            await one(number)

    began = perf_counter()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return len(numbers) / (perf_counter() - began)


async def _expect(answer: aiohttp.ClientResponse, status: int) -> None:
    said = await answer.read()
    if answer.status != status:
        raise BenchError(f"the Kubernetes API answered {answer.status}: {said[:300]!r}")


def _session(objects: Objects) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=AT_ONCE, ssl=_trust(objects.kubeconfig))
    return aiohttp.ClientSession(connector=connector)


def _trust(kubeconfig: Path) -> ssl.SSLContext:
    """Trust the API server of this kubeconfig, and be its user."""
    config = json.loads(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    both = kubeconfig.parent / "bench-client.pem"
    both.touch(mode=0o600)
    parts = (user["client-certificate-data"], user["client-key-data"])
    both.write_bytes(b"".join(base64.b64decode(part) for part in parts))
    context.load_cert_chain(both)
    return context
