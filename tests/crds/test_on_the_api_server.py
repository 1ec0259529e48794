"""What a user sees of the custom resources on a real API server, through kubectl."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from defib_core.config.base import SpecModel
from defib_core.config.conditions import Condition, ConditionStatus, ConditionType
from defib_core.config.resources import API_VERSION, RESOURCES
from defib_dev.components.kubectl import Kubectl, KubectlError

Parsers = dict[str, Callable[[Mapping[str, Any]], SpecModel]]

LEAST: dict[str, dict[str, Any]] = {
    "VirtualMachine": {"vmid": 100},
    "SystemConfig": {},
    "ProxmoxCluster": {
        "endpoints": ["https://pve1.example.com"],
        "tokenSecretRef": {"name": "token"},
    },
}
CONDITION = {
    "type": "Ready",
    "status": "True",
    "reason": "Monitored",
    "message": "",
    "lastTransitionTime": "2026-01-31T12:00:00Z",
}


class Objects:
    """The custom resources of one namespace."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self.kubectl = kubectl
        self.namespace = namespace

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        return self.kubectl.run(*arguments, f"--namespace={self.namespace}", stdin=stdin)

    def create(self, kind: str, name: str, spec: Mapping[str, Any], *flags: str) -> dict[str, Any]:
        manifest = {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        }
        text = yaml.safe_dump(manifest)
        created = self.run("create", "--filename=-", "--output=json", *flags, stdin=text)
        return dict(json.loads(created))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return dict(json.loads(self.run("get", kind, name, "--output=json")))

    def patch(self, kind: str, name: str, change: Mapping[str, Any], *flags: str) -> str:
        how = ("--type=merge", f"--patch={json.dumps(change)}")
        return self.run("patch", kind, name, *how, *flags)

    def status(self, kind: str, name: str, status: Mapping[str, Any]) -> str:
        return self.patch(kind, name, {"status": status}, "--subresource=status")

    def table(self, *arguments: str) -> list[str]:
        return self.run("get", *arguments).splitlines()


@pytest.fixture
def objects(kubectl: Kubectl, namespace: str) -> Objects:
    return Objects(kubectl, namespace)


@pytest.mark.parametrize("kind", LEAST)
def test_the_api_server_fills_in_the_defaults_of_the_model(
    kind: str, objects: Objects, parsers: Parsers
) -> None:
    created = objects.create(kind, "least", LEAST[kind])
    assert created["spec"] != LEAST[kind]

    model = parsers[kind](LEAST[kind]).model_dump(mode="json", by_alias=True, exclude_none=True)
    # The one part whose fields are all optional is not written where it is left out.
    assert created["spec"] == {name: value for name, value in model.items() if value != {}}
    assert parsers[kind](created["spec"]) == parsers[kind](LEAST[kind])


def test_a_system_config_needs_no_more_than_an_empty_spec(objects: Objects) -> None:
    safety = objects.create("SystemConfig", "default", {"safety": {"maxDownPercent": 5}})["spec"][
        "safety"
    ]

    assert (safety["maxDownPercent"], safety["secondLifeSignals"]) == (5, ["guestAgent", "io"])


def test_an_empty_list_turns_the_second_life_signals_off(objects: Objects) -> None:
    created = objects.create("SystemConfig", "default", {"safety": {"secondLifeSignals": []}})

    assert created["spec"]["safety"]["secondLifeSignals"] == []


@pytest.mark.parametrize(
    "spec",
    [
        {"staleTimeoutMs": 1000},
        {"safety": {"maxDownPercent": 100}},
        {"safety": {"maxNodeDownPercent": 100}},
    ],
)
def test_an_acknowledged_risk_is_let_through(
    spec: dict[str, Any], objects: Objects, parsers: Parsers
) -> None:
    acknowledged = {**spec, "acknowledgeRisk": True}

    with pytest.raises(KubectlError, match="acknowledgeRisk: true"):
        objects.create("SystemConfig", "risky", spec)
    assert objects.create("SystemConfig", "risky", acknowledged)
    parsers["SystemConfig"](acknowledged)


def test_timeouts_can_be_shortened_without_acknowledging_anything(
    objects: Objects, parsers: Parsers
) -> None:
    spec = {
        "reportIntervalSeconds": 1,
        "staleTimeoutMs": 2000,
        "staleCheckIntervalSeconds": 1,
        "bootGraceSeconds": 1,
        "safety": {"blindAfterSeconds": 2, "stormCooldownSeconds": 0, "ioWindowSeconds": 1},
    }

    assert objects.create("SystemConfig", "quick", spec)
    parsers["SystemConfig"](spec)


def test_a_dangerous_edit_of_a_good_config_is_refused_and_the_good_one_stays(
    objects: Objects,
) -> None:
    objects.create("SystemConfig", "default", {})

    with pytest.raises(KubectlError, match="shorter than two report intervals"):
        objects.patch("dsc", "default", {"spec": {"staleTimeoutMs": 5000}})

    assert objects.get("dsc", "default")["spec"]["staleTimeoutMs"] == 300_000


def test_all_dangers_are_named_at_once(objects: Objects) -> None:
    spec = {"staleTimeoutMs": 1000, "safety": {"maxDownPercent": 100, "maxNodeDownPercent": 100}}

    with pytest.raises(KubectlError) as refusal:
        objects.create("SystemConfig", "default", spec)

    for field in ("spec.staleTimeoutMs", "spec.safety.maxDownPercent", "maxNodeDownPercent"):
        assert field in str(refusal.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vmid": 101}, "vmid says which VM this is and cannot change"),
        ({"clusterRef": {"name": "other"}}, "clusterRef says which VM this is and cannot change"),
        ({"clusterRef": None}, "clusterRef says which VM this is and cannot change"),
    ],
)
def test_who_a_vm_is_cannot_be_changed(
    change: dict[str, Any], message: str, objects: Objects
) -> None:
    objects.create("VirtualMachine", "web-01", {"vmid": 100, "clusterRef": {"name": "berlin"}})

    with pytest.raises(KubectlError, match=message):
        objects.patch("dvm", "web-01", {"spec": change})


def test_how_a_vm_is_treated_can_be_changed(objects: Objects) -> None:
    objects.create("VirtualMachine", "web-01", {"vmid": 100, "paused": {"reason": "Kim: disk"}})

    objects.patch(
        "dvm",
        "web-01",
        {"spec": {"paused": None, "configRef": {"name": "cautious"}, "hostname": "www"}},
    )

    changed = objects.get("dvm", "web-01")
    assert "paused" not in changed["spec"]
    assert changed["spec"]["configRef"] == {"name": "cautious"}
    assert changed["metadata"]["generation"] == 2


@pytest.mark.parametrize("kind", LEAST)
def test_status_cannot_be_changed_through_the_object(kind: str, objects: Objects) -> None:
    objects.create(kind, "one", LEAST[kind])

    objects.patch(kind, "one", {"status": {"conditions": [CONDITION]}})

    assert objects.get(kind, "one")["status"] == {"observedGeneration": -1}


@pytest.mark.parametrize("kind", LEAST)
def test_writing_the_status_leaves_the_generation_alone(kind: str, objects: Objects) -> None:
    objects.create(kind, "one", LEAST[kind])

    objects.status(kind, "one", {"observedGeneration": 1, "conditions": [CONDITION]})

    written = objects.get(kind, "one")
    assert written["metadata"]["generation"] == 1
    assert written["status"] == {"observedGeneration": 1, "conditions": [CONDITION]}


def test_a_condition_from_the_code_is_accepted(objects: Objects) -> None:
    objects.create("VirtualMachine", "web-01", {"vmid": 100})
    condition = Condition(
        type=ConditionType.REMEDIATION_ALLOWED,
        status=ConditionStatus.FALSE,
        reason="VMLocked",
        message="a" * 40_000,
        at=datetime(2026, 1, 31, 12, tzinfo=UTC),
        observed_generation=1,
    ).to_dict()

    objects.status("dvm", "web-01", {"conditions": [condition]})

    assert objects.get("dvm", "web-01")["status"]["conditions"] == [condition]


@pytest.mark.parametrize(
    "status",
    [{"health": "dead"}, {"conditions": [{"type": "Ready"}]}, {"lastReset": {"outcome": "ok"}}],
)
def test_a_status_with_words_nobody_knows_is_refused(
    status: dict[str, Any], objects: Objects
) -> None:
    objects.create("VirtualMachine", "web-01", {"vmid": 100})

    with pytest.raises(KubectlError, match=r"Unsupported value|Required value"):
        objects.status("dvm", "web-01", status)


def test_an_unknown_field_is_refused_by_kubectl_apply(objects: Objects) -> None:
    with pytest.raises(KubectlError, match=r'unknown field "spec\.vmId"'):
        objects.create("VirtualMachine", "web-01", {"vmid": 100, "vmId": 100})


def test_get_dvm_shows_health_node_figures_and_attempts(objects: Objects) -> None:
    objects.create("VirtualMachine", "web-01", {"vmid": 100})
    objects.status("dvm", "web-01", down_and_held())

    header, row = objects.table("dvm")

    assert header.split("  ")[0] == "NAME"
    columns = [name.strip() for name in header.split("  ") if name.strip()]
    assert columns == [
        *("NAME", "HEALTH", "NODE", "VMID", "CPU%", "RAM%", "LAST HEARTBEAT", "ATTEMPTS", "AGE"),
    ]
    assert row.split()[:6] == ["web-01", "down", "pve1", "100", "45", "62"]


def test_get_dvm_wide_shows_the_reasons(objects: Objects) -> None:
    objects.create("VirtualMachine", "web-01", {"vmid": 100})
    objects.status("dvm", "web-01", down_and_held())

    header, row = objects.table("dvm", "--output=wide")

    for column in ("REASON", "REMEDIATION", "READY", "CLUSTER"):
        assert column in header
    for word in ("HeartbeatMissing", "VMLocked", "Monitored", "default"):
        assert word in row


def test_a_vm_without_a_status_has_a_row_too(objects: Objects) -> None:
    objects.create("VirtualMachine", "web-01", {"vmid": 100})

    _, row = objects.table("dvm", "--output=wide")

    assert row.split()[0] == "web-01"


def test_get_dsc_shows_what_is_in_force(objects: Objects) -> None:
    objects.create("SystemConfig", "default", {"dryRun": True})
    objects.status(
        "dsc", "default", {"vms": 40, "conditions": [{**CONDITION, "reason": "InForce"}]}
    )

    header, row = objects.table("dsc")

    columns = [name.strip() for name in header.split("  ") if name.strip()]
    assert columns == ["NAME", "STALE TIMEOUT", "AUTO RESET", "DRY RUN", "VMS", "READY", "AGE"]
    assert row.split()[:6] == ["default", "300000", "true", "true", "40", "True"]


def test_get_dpc_shows_whether_the_cluster_answers(objects: Objects) -> None:
    endpoints = ["https://pve1.example.com", "https://pve2.example.com"]
    spec = {**LEAST["ProxmoxCluster"], "endpoints": endpoints}
    objects.create("ProxmoxCluster", "default", spec)
    status = {
        "reachable": True,
        "version": "9.1.2",
        "quorate": True,
        "nodes": [{"name": "pve1", "online": True}, {"name": "pve2", "online": False}],
        "tokenMissing": [],
        "lastChecked": "2026-01-31T12:00:00Z",
        "conditions": [{**CONDITION, "reason": "Connected"}],
    }
    objects.status("dpc", "default", status)

    header, row = objects.table("dpc")
    wide_row = objects.table("dpc", "--output=wide")[1]

    columns = [name.strip() for name in header.split("  ") if name.strip()]
    assert columns == ["NAME", "READY", "REACHABLE", "VERSION", "QUORATE", "AGE"]
    assert row.split()[:5] == ["default", "True", "true", "9.1.2", "true"]
    assert "Connected" in wide_row
    assert all(endpoint in wide_row for endpoint in endpoints)
    assert objects.get("dpc", "default")["status"] == {"observedGeneration": -1, **status}


def test_a_vm_is_found_by_its_vmid_and_cluster(objects: Objects) -> None:
    objects.create("VirtualMachine", "web-01", {"vmid": 100})
    objects.create("VirtualMachine", "web-02", {"vmid": 101})
    objects.create("VirtualMachine", "web-03", {"vmid": 100, "clusterRef": {"name": "berlin"}})

    selector = "--field-selector=spec.vmid=100,spec.clusterRef.name=default"
    found = objects.run("get", "dvm", selector, "--output=name").split()

    assert found == ["virtualmachine.defib.dev/web-01"]


def test_get_defib_lists_all_three_kinds(objects: Objects) -> None:
    for kind, spec in LEAST.items():
        objects.create(kind, "one", spec)

    found = objects.run("get", "defib", "--output=name").split()

    assert sorted(found) == sorted(
        f"{resource.kind.lower()}.defib.dev/one" for resource in RESOURCES
    )


def test_explain_tells_what_a_field_does(objects: Objects) -> None:
    told = objects.run("explain", "dsc.spec.safety.stormCooldownSeconds")

    assert "Seconds of waiting after a brake has let go" in told


def down_and_held() -> dict[str, Any]:
    moment = "2026-01-31T12:00:00Z"
    held = {**CONDITION, "type": "RemediationAllowed", "status": "False", "reason": "VMLocked"}
    silent = {**CONDITION, "type": "Healthy", "status": "False", "reason": "HeartbeatMissing"}
    return {
        "observedGeneration": 1,
        "health": "down",
        "node": "pve1",
        "hostname": "web-01",
        "cpuPercent": 45,
        "ramPercent": 62,
        "lastHeartbeat": moment,
        "resetAttempts": 1,
        "resetPending": False,
        "lastReset": {
            "time": moment,
            "reason": "silent for 5 minutes",
            "outcome": "failed",
            "upid": "UPID:pve1:00001234:00005678:697DF3C0:qmreset:100:defib@pve!operator:",
        },
        "conditions": [CONDITION, silent, held],
    }
