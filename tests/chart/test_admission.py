"""A real API server admits each object of the chart, strictly, under restricted Pod Security.

Nothing runs there: no kubelet, no scheduler. What is shown is that the server takes the objects,
and the pods that they would make.
"""

from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from defib_dev.components.kubectl import Kubectl, KubectlError
from support.control_plane import TestControlPlane
from support.helm import CHART, pod_templates, rendered

FOREIGN = {"HTTPRoute", "PodMonitor", "PrometheusRule"}
"""Kinds of other projects, whose definitions are not installed here."""
PLAIN: Mapping[str, Any] = {}
EVERYTHING: Mapping[str, Any] = {
    "nameOverride": "guard",
    "image.pullSecrets": ["registry"],
    "database.sslMode": "verify-full",
    "database.caSecret.name": "database-authority",
    "redis.existingSecret": "redis",
    "redis.caSecret.name": "redis-authority",
    "api.autoscaling.enabled": True,
    "api.service.type": "LoadBalancer",
    "api.service.annotations": {"example.com/zone": "north"},
    "api.podLabels": {"team": "storage"},
    "api.podAnnotations": {"example.com/note": "hello"},
    "api.nodeSelector": {"disk": "fast"},
    "api.tolerations": [{"key": "only", "operator": "Exists", "effect": "NoSchedule"}],
    "api.affinity": {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]
            }
        }
    },
    "api.extraEnv": [{"name": "TZ", "value": "UTC"}],
    "operator.clusterWide": True,
    "operator.topologySpreadConstraints": [
        {
            "topologyKey": "kubernetes.io/hostname",
            "maxSkew": 1,
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app.kubernetes.io/component": "operator"}},
        }
    ],
    "serviceAccounts.annotations": {"example.com/role": "defib"},
    "rbac.secretNamespaces": ["default", "kube-system"],
    "metrics": {
        "enabled": True,
        "perVm": True,
        "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "15s"},
        "rules": {"enabled": True, "runbooks": "https://runbooks.example.com"},
        "dashboards": {"enabled": True, "annotations": {"grafana_folder": "Defib"}},
    },
    "rbac.people": True,
    "admissionPolicy.enabled": True,
    "notify.enabled": True,
    "ingress.enabled": True,
    "ingress.className": "public",
    "ingress.tlsSecret": "certificate",
    "gateway.enabled": True,
    "gateway.parentRefs": [{"name": "public", "namespace": "gateways"}],
    "networkPolicy.egress.enabled": True,
    "networkPolicy.apiFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
}
BARE: Mapping[str, Any] = {
    "migrations.enabled": False,
    "api.preStopSeconds": 0,
    "api.podDisruptionBudget.enabled": False,
    "operator.podDisruptionBudget.enabled": False,
    "serviceAccounts": {"create": False, "api": "mine", "operator": "mine"},
    "rbac": {"create": False, "proxmoxSecrets": []},
    "networkPolicy.enabled": False,
}
variants = pytest.mark.parametrize(
    "values", [PLAIN, EVERYTHING, BARE], ids=["defaults", "everything", "bare"]
)


@pytest.fixture(scope="module")
def restricted(control_plane: TestControlPlane) -> str:
    """A namespace in which Pod Security "restricted" is enforced, not only warned of."""
    name = control_plane.new_namespace("restricted")
    control_plane.kubectl.run(
        "label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted"
    )
    return name


@variants
def test_each_object_is_admitted_strictly(
    kubectl: Kubectl, restricted: str, values: Mapping[str, Any]
) -> None:
    ours = [one for one in rendered(values, namespace=restricted) if one["kind"] not in FOREIGN]
    said = kubectl.run(
        *("apply", "--dry-run=server", "--validate=strict", "--filename=-"),
        stdin=yaml.safe_dump_all(ours),
    )
    assert said.count("(server dry run)") == len(ours)
    assert len(ours) >= 4


@variants
def test_each_pod_is_admitted_under_restricted_pod_security(
    kubectl: Kubectl, restricted: str, values: Mapping[str, Any]
) -> None:
    pods = pod_templates(rendered(values, namespace=restricted))
    assert len(pods) >= 3
    for pod in pods.values():
        pod["metadata"]["namespace"] = restricted
        flags = ("create", "--dry-run=server", "--validate=strict", "--filename=-")
        assert "created (server dry run)" in kubectl.run(*flags, stdin=yaml.safe_dump(pod))


def test_the_namespace_really_refuses_what_is_not_restricted(
    kubectl: Kubectl, restricted: str
) -> None:
    pod = pod_templates(rendered(namespace=restricted))["defib-api"]
    pod["metadata"]["namespace"] = restricted
    del pod["spec"]["containers"][0]["securityContext"]["capabilities"]
    with pytest.raises(KubectlError, match=r"violates PodSecurity .*unrestricted capabilities"):
        kubectl.run("create", "--dry-run=server", "--filename=-", stdin=yaml.safe_dump(pod))


def test_every_container_is_locked_down() -> None:
    for name, pod in pod_templates(rendered(EVERYTHING)).items():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"], name
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"], name
            assert security["allowPrivilegeEscalation"] is False, name
            assert "memory" in container["resources"]["limits"], name
        assert spec["automountServiceAccountToken"] is (name == "guard-operator"), name


def test_names_of_pods_and_selectors_agree() -> None:
    objects = {(one["kind"], one["metadata"]["name"]): one for one in rendered()}
    for part in ("api", "operator"):
        labels = objects["Deployment", f"defib-{part}"]["spec"]["template"]["metadata"]["labels"]
        selectors = [
            objects["Deployment", f"defib-{part}"]["spec"]["selector"]["matchLabels"],
            objects["PodDisruptionBudget", f"defib-{part}"]["spec"]["selector"]["matchLabels"],
            objects["NetworkPolicy", f"defib-{part}"]["spec"]["podSelector"]["matchLabels"],
        ]
        if part == "api":
            selectors.append(objects["Service", "defib-api"]["spec"]["selector"])
        assert all(one.items() <= labels.items() for one in selectors)
        assert {one["app.kubernetes.io/component"] for one in selectors} == {part}


def test_a_rollout_never_takes_an_api_replica_before_its_successor_is_ready() -> None:
    (api,) = [
        one
        for one in rendered()
        if one["metadata"]["name"] == "defib-api" and one["kind"] == "Deployment"
    ]
    assert api["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    spec = api["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"
    waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert spec["terminationGracePeriodSeconds"] >= waits + 30


def test_objects_of_other_projects_have_the_shape_they_document() -> None:
    """Their definitions are not installed here, so this is all that is checked of them."""
    found = {one["kind"]: one for one in rendered(EVERYTHING) if one["kind"] in FOREIGN}
    route = found["HTTPRoute"]["spec"]
    assert route["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    assert route["hostnames"] == ["defib.example.com"]
    assert route["rules"][0]["backendRefs"] == [{"name": "guard-api", "port": 3000}]
    monitored = found["PodMonitor"]
    assert monitored["metadata"]["labels"]["release"] == "prometheus"
    assert monitored["spec"]["podMetricsEndpoints"] == [{"port": "metrics", "interval": "15s"}]
    (labels,) = monitored["spec"]["selector"].values()
    pods = pod_templates(rendered(EVERYTHING))
    for name in ("guard-api", "guard-operator", "guard-notify"):
        assert labels.items() <= pods[name]["metadata"]["labels"].items()
        ports = pods[name]["spec"]["containers"][0]["ports"]
        assert "metrics" in [one["name"] for one in ports]
    alerts = [
        rule for group in found["PrometheusRule"]["spec"]["groups"] for rule in group["rules"]
    ]
    assert len(alerts) > 20
    assert all(
        rule["annotations"]["runbook_url"] == f"https://runbooks.example.com/{rule['alert']}.md"
        for rule in alerts
    )


def test_the_port_for_metrics_is_closed_unless_it_is_wanted() -> None:
    for values, wanted in ((PLAIN, False), (EVERYTHING, True)):
        objects = rendered(values)
        policies = [one for one in objects if one["kind"] == "NetworkPolicy"]
        opened = [
            rule
            for policy in policies
            for rule in policy["spec"]["ingress"]
            if rule["ports"] == [{"port": "metrics"}]
        ]
        assert len(opened) == (len(policies) if wanted else 0)
        assert all("from" in rule for rule in opened)
        assert ("DEFIB_METRICS_PORT" in str(objects)) is wanted


def test_the_dashboards_are_in_their_config_map() -> None:
    (made,) = [one for one in rendered(EVERYTHING) if one["metadata"]["name"] == "guard-dashboards"]
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
    files = sorted(file.name for file in (CHART / "dashboards").glob("*.json"))
    assert sorted(made["data"]) == files
