"""Install, upgrade, roll back and uninstall with the real helm on a real API server."""

import json
from asyncio import to_thread
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from chart.accounts import kubeconfig_of
from chart.kubelet import Kubelet, RunningApi, start_api
from chart.load import LONG, SOME, VMS, Load, running, stored_numbers
from defib_core.store.engine import make_engine
from defib_dev.components import processes
from defib_dev.components.ports import free_port
from defib_dev.components.processes import ProcessRecord
from operator_process.agents import Agents
from operator_process.kube_api import kube_api
from operator_process.world import World
from support.control_plane import TestControlPlane
from support.helm import CHART, Ran, as_flags, helm
from support.logged import Logged
from support.proxmox import running_simulator
from support.waiting import eventually_async

RELEASE = "defib"
MIGRATIONS = "defib-migrations"
OURS = "app.kubernetes.io/instance=defib"
KINDS = "deployments,services,jobs,pods,roles,rolebindings,serviceaccounts,networkpolicies,pdb"


class Installation:
    """A namespace, enforced to be restricted, with the Secret that the chart refers to."""

    def __init__(self, plane: TestControlPlane, namespace: str, folder: Path) -> None:
        self.kubelet = Kubelet(plane.kubectl, namespace, folder)
        self.kubeconfig = plane.kubeconfig
        self.namespace = namespace

    def put_secret(self, url: str) -> None:
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "defib-database"},
            "stringData": {"url": url},
        }
        self.kubelet.kubectl.apply(yaml.safe_dump(secret), namespace=self.namespace)

    def helm(self, command: str, *arguments: str, **values: object) -> Ran:
        where = ("--namespace", self.namespace)
        return helm(command, *arguments, *where, *as_flags(values), kubeconfig=self.kubeconfig)

    def helm_with_migrations(self, command: str, **values: object) -> tuple[Ran, list[str]]:
        """Run helm while the hook's Job is run; also what the Job said."""
        with self.kubelet.running_jobs(MIGRATIONS) as ended:
            ran = self.helm(command, RELEASE, str(CHART), "--timeout=110s", **values)
        return ran, [one.stdout + one.stderr for one in ended]

    def objects(self) -> list[str]:
        text = self.kubelet.kubectl.run(
            *("get", KINDS, "--namespace", self.namespace, "--selector", OURS, "-o", "name")
        )
        return text.split()

    def history(self) -> list[tuple[int, str]]:
        ran = self.helm("history", RELEASE, "--output=json")
        return [(one["revision"], one["status"]) for one in json.loads(ran.out)]


@pytest.fixture
def installation(control_plane: TestControlPlane, tmp_path: Path) -> Installation:
    namespace = control_plane.new_namespace("release")
    enforced = "pod-security.kubernetes.io/enforce=restricted"
    control_plane.kubectl.run("label", "namespace", namespace, enforced)
    return Installation(control_plane, namespace, tmp_path)


@pytest.mark.timeout(900)
async def test_install_upgrade_under_load_rollback_and_uninstall(
    installation: Installation,
    control_plane: TestControlPlane,
    empty_database_url: str,
    tmp_path: Path,
    logged: Logged,
) -> None:
    """A VM dies in the upgrade, another in the rollback: each is reset once; nothing is lost."""
    installation.put_secret(empty_database_url)

    installed, said = await to_thread(installation.helm_with_migrations, "install")

    assert installed.code == 0, installed.err
    assert "defib token create --kind admin" in installed.out
    assert "The database is at revision" in said[0]
    assert {"deployment.apps/defib-api", "deployment.apps/defib-operator"} <= set(
        installation.objects()
    )
    engine = make_engine(empty_database_url, application="tests")
    async with (
        running_simulator(tmp_path / "authority") as proxmox,
        kube_api(control_plane.kubeconfig, installation.namespace) as kube,
    ):
        nobody = Agents(empty_database_url, installation.namespace, proxmox, engine)
        world = World(kube, control_plane.kubeconfig, empty_database_url, proxmox, nobody, logged)
        for vmid in VMS:
            proxmox.guest(vmid, f"web-{vmid}", bootSeconds=1)
        await world.furnish(staleTimeoutMs=6000, bootGraceSeconds=30)
        await _upgrade_and_roll_back(installation, world)
        posts = [(post.vmid, post.action) for post in proxmox.dc.posts]
        assert sorted(posts) == [(100, "reset"), (101, "reset")]
    await engine.dispose()

    _uninstall_keeps_definitions_and_objects(installation)


async def _upgrade_and_roll_back(installation: Installation, world: World) -> None:
    """Replace API and operator as a Deployment would: the new ready, then SIGTERM to the old."""
    with ExitStack() as stack:
        first = await to_thread(_roll_out, stack, installation, "first")
        load = Load(await to_thread(_agent_key, installation), [first.api.url], world.proxmox)
        async with running(load):
            await world.condition("web-101", "Ready", "Monitored", deadline_seconds=LONG)
            await load.until_more()

            upgraded, said = await to_thread(
                installation.helm_with_migrations, "upgrade", **{"log.level": "warning"}
            )
            assert upgraded.code == 0, upgraded.err
            assert "kubectl apply --server-side" in upgraded.out
            assert said
            assert _log_level(installation) == "warning"
            world.change(100, frozen=True, bootSeconds=1)
            second = await to_thread(_roll_out, stack, installation, "second")
            load.urls.insert(0, second.api.url)
            await to_thread(first.stop)
            await _is_healed(world, 100)
            await load.until_more()
            await to_thread(_helm_test_passes, installation, second.api)

            rolled_back = await to_thread(installation.helm, "rollback", RELEASE, "1")
            assert rolled_back.code == 0, rolled_back.err
            assert _log_level(installation) == "info"
            assert [one for _, one in installation.history()] == [
                *("superseded", "superseded", "deployed")
            ]
            world.change(101, frozen=True, bootSeconds=1)
            third = await to_thread(_roll_out, stack, installation, "third")
            load.urls.insert(0, third.api.url)
            await to_thread(second.stop)
            await _is_healed(world, 101)
            await load.until_more()
        assert load.refused == []
        assert load.acknowledged - await stored_numbers(world.database_url) == set()
        assert len(load.acknowledged) > 3 * SOME


async def _is_healed(world: World, vmid: int) -> None:
    async def proven() -> bool:
        return await world.resets(vmid) == [("auto", "succeeded", True)]

    await eventually_async(proven, what=f"{vmid} is reset, once", deadline_seconds=LONG)


def _helm_test_passes(installation: Installation, api: RunningApi) -> None:
    with installation.kubelet.running_pod("defib-test", {"API_URL": api.url}):
        tested = installation.helm("test", RELEASE, "--timeout=100s")
    assert tested.code == 0, tested.err + tested.out
    assert "Phase:          Succeeded" in tested.out


def _uninstall_keeps_definitions_and_objects(installation: Installation) -> None:
    kubectl = installation.kubelet.kubectl
    vm = {
        "apiVersion": "defib.dev/v1alpha1",
        "kind": "VirtualMachine",
        "metadata": {"name": "web-0"},
        "spec": {"vmid": 100},
    }
    kubectl.apply(yaml.safe_dump(vm), namespace=installation.namespace)
    removed = installation.helm("uninstall", RELEASE)
    assert removed.code == 0, removed.err
    assert installation.objects() == []
    assert kubectl.run("get", "crd", "virtualmachines.defib.dev", "-o", "name").strip()
    assert kubectl.run("get", "dvm", "web-0", "--namespace", installation.namespace)


def test_a_migration_that_fails_leaves_nothing_installed(
    installation: Installation, empty_database_url: str
) -> None:
    installation.put_secret(empty_database_url.replace("only-for-tests", "wrong"))

    ran, said = installation.helm_with_migrations("install")

    assert ran.code != 0
    assert "failed pre-install" in ran.err
    assert 'password authentication failed for user "defib"' in said[0]
    assert "Traceback" not in said[0]
    assert [one for one in installation.objects() if not one.startswith("job")] == []


def test_a_second_installation_beside_the_first_is_no_trouble(
    installation: Installation,
) -> None:
    for name in ("north", "south"):
        made = helm(
            *("install", name, str(CHART), "--namespace", installation.namespace),
            *as_flags({"migrations.enabled": False}),
            kubeconfig=installation.kubeconfig,
        )
        assert made.code == 0, made.err
    kubectl = installation.kubelet.kubectl
    for name in ("north-defib-api", "south-defib-api"):
        assert kubectl.run(
            "get", "deployment", name, "--namespace", installation.namespace, "-o", "name"
        )


def test_definitions_of_an_earlier_version_are_upgraded_as_the_page_says(
    installation: Installation,
) -> None:
    """Server-side apply from the chart's folder takes over from whoever installed them."""
    said = installation.kubelet.kubectl.run(
        *("apply", "--server-side", "--field-manager=kubectl", "--force-conflicts"),
        *("--dry-run=server", "--validate=strict", f"--filename={CHART / 'crds'}"),
    )
    assert said.count("serverside-applied (server dry run)") == 3


@dataclass(frozen=True, slots=True)
class RolledOut:
    """API and operator of one revision."""

    api: RunningApi
    operator: ProcessRecord

    def stop(self) -> None:
        """SIGTERM to both, and wait."""
        processes.stop(self.operator)
        self.api.stop()


def _roll_out(stack: ExitStack, installation: Installation, name: str) -> RolledOut:
    """Start what the Deployments describe now; it is ended with the test, if not before."""
    kubelet = installation.kubelet
    api = start_api(kubelet, name)
    stack.callback(processes.stop, api.record)
    kubeconfig = kubeconfig_of(
        kubelet.kubectl,
        "defib-operator",
        namespace=installation.namespace,
        folder=kubelet.folder,
    )
    pod = kubelet.get("deployment", "defib-operator")["spec"]["template"]
    settings = {
        "DEFIB_KUBECONFIG": str(kubeconfig),
        "DEFIB_IDENTITY": name,
        "DEFIB_PROBE_HOST": "127.0.0.1",
        "DEFIB_PROBE_PORT": str(free_port()),
    }
    spec = kubelet.process_of(pod, f"operator-{name}", settings)
    operator = processes.start(spec, kubelet.folder / f"operator-{name}.log")
    stack.callback(processes.stop, operator)
    return RolledOut(api, operator)


def _agent_key(installation: Installation) -> str:
    """As NOTES says: `kubectl exec deployment/defib-api -- defib token create ...`."""
    pod = installation.kubelet.get("deployment", "defib-api")["spec"]["template"]
    words = ["token", "create", "--kind", "agent", "--name", "agents", "--cluster", "default"]
    pod["spec"]["containers"][0]["args"] = words
    ran = installation.kubelet.run(installation.kubelet.process_of(pod, "exec"))
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def _log_level(installation: Installation) -> str:
    pod = installation.kubelet.get("deployment", "defib-api")["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    (level,) = [one["value"] for one in container["env"] if one["name"] == "DEFIB_LOG_LEVEL"]
    return str(level)
