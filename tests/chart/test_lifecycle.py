"""Install, upgrade, roll back and uninstall with the real helm on a real API server."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import yaml

from chart.kubelet import Kubelet, RunningApi, start_api
from chart.reports import Reports
from defib_dev.components import processes
from support.control_plane import TestControlPlane
from support.helm import CHART, Ran, as_flags, helm
from support.waiting import eventually

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


def test_install_upgrade_under_load_rollback_and_uninstall(
    installation: Installation, empty_database_url: str
) -> None:
    installation.put_secret(empty_database_url)

    installed, said = installation.helm_with_migrations("install")

    assert installed.code == 0, installed.err
    assert "defib token create --kind admin" in installed.out
    assert "The database is at revision" in said[0]
    assert {"deployment.apps/defib-api", "deployment.apps/defib-operator"} <= set(
        installation.objects()
    )
    with _serving(installation, "first") as first:
        key = _agent_key(installation)
        reports = Reports(key, [first.url])
        reports.start()
        try:
            _wait_for_more(reports, 20)
            _upgrade_and_roll_back(installation, reports, first)
        finally:
            reports.stop()
    assert reports.refused == []
    assert _stored(empty_database_url) >= set(reports.acknowledged)
    assert len(reports.acknowledged) == len(set(reports.acknowledged)) > 60

    _uninstall_keeps_definitions_and_objects(installation)


def _upgrade_and_roll_back(installation: Installation, reports: Reports, first: RunningApi) -> None:
    """Replace the API as a Deployment would: the successor ready, then SIGTERM to the old one."""
    upgraded, said = installation.helm_with_migrations("upgrade", **{"log.level": "warning"})
    assert upgraded.code == 0, upgraded.err
    assert "kubectl apply --server-side" in upgraded.out
    assert said
    assert _log_level(installation) == "warning"
    with _serving(installation, "second") as second:
        reports.urls.append(second.url)
        first.stop()
        _wait_for_more(reports, 20)

        _helm_test_passes(installation, second)

        rolled_back = installation.helm("rollback", RELEASE, "1")
        assert rolled_back.code == 0, rolled_back.err
        assert _log_level(installation) == "info"
        assert installation.history() == [
            (1, "superseded"),
            (2, "superseded"),
            (3, "deployed"),
        ]
        with _serving(installation, "third") as third:
            reports.urls.append(third.url)
            second.stop()
            _wait_for_more(reports, 20)


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


@contextmanager
def _serving(installation: Installation, name: str) -> Iterator[RunningApi]:
    api = start_api(installation.kubelet, name)
    try:
        yield api
    finally:
        if processes.is_running(api.record):
            api.stop()


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


def _wait_for_more(reports: Reports, number: int) -> None:
    enough = len(reports.acknowledged) + number
    eventually(
        lambda: len(reports.acknowledged) >= enough or reports.refused,
        what=f"{number} more reports are acknowledged",
        deadline_seconds=60,
    )


def _stored(url: str) -> set[int]:
    with psycopg.connect(url) as connection:
        return {row[0] for row in connection.execute("SELECT uptime FROM vm_metric")}
