"""A real API server admits each object of the chart, strictly, under restricted Pod Security.

Nothing runs there: no kubelet, no scheduler. What is shown is that the server takes the objects,
and the pods that they would make.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from defib_core.config.settings import (
    ApiSettings,
    NotifySettings,
    OperatorSettings,
    RelaySettings,
)
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
    "signIn": {
        "roles": ["administrator=defib-admins", "viewer=*"],
        "oidc": {
            "issuer": "https://id.example.com/realms/ops",
            "clientId": "defib",
            "existingSecret": "oidc-client",
            "roleClaim": "realm_access.roles",
            "caSecret": {"name": "oidc-authority"},
        },
        "proxy": {
            "userHeader": "X-Forwarded-User",
            "groupsHeader": "X-Forwarded-Groups",
            "cidrs": ["10.1.2.0/24", "fd00::/64"],
        },
    },
    "tracing": {
        "url": "https://collector.observability:4318",
        "ratio": 0.5,
        "existingSecret": "collector-token",
        "caSecret": {"name": "collector-authority"},
    },
    "api.publicUrl": "https://defib.example.com",
    "api.sharedAgentKeys": False,
    "api.reportLimitPerMinute": 1000000,
    "api.tls.existingSecret": "api-certificate",
    "relay": {
        "enabled": True,
        "apiCaSecret": {"name": "api-authority"},
        "persistence": {"storageClassName": "fast", "size": "2Gi"},
        "service": {"type": "LoadBalancer", "annotations": {"example.com/zone": "site-a"}},
        "from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
        "podDisruptionBudget": {"enabled": True},
        "tolerations": [{"key": "only", "operator": "Exists", "effect": "NoSchedule"}],
    },
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
    "notify.enabled": True,
    "relay.enabled": True,
    "relay.persistence.enabled": False,
    "api.preStopSeconds": 0,
    "api.podDisruptionBudget.enabled": False,
    "operator.podDisruptionBudget.enabled": False,
    "serviceAccounts": {"create": False, "api": "mine", "operator": "mine"},
    "rbac": {"create": False, "proxmoxSecrets": []},
    "networkPolicy.enabled": False,
}
ALONE: Mapping[str, Any] = {
    "relay": {"enabled": True, "alone": True, "apiUrl": "https://defib.example.com"},
}
variants = pytest.mark.parametrize(
    "values", [PLAIN, EVERYTHING, BARE, ALONE], ids=["defaults", "everything", "bare", "relay"]
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


def test_a_relay_alone_brings_nothing_of_the_rest() -> None:
    assert sorted((one["kind"], one["metadata"]["name"]) for one in rendered(ALONE)) == [
        ("Deployment", "defib-relay"),
        ("NetworkPolicy", "defib-relay"),
        ("PersistentVolumeClaim", "defib-relay"),
        ("Service", "defib-relay"),
    ]


@variants
def test_each_pod_is_admitted_under_restricted_pod_security(
    kubectl: Kubectl, restricted: str, values: Mapping[str, Any]
) -> None:
    pods = pod_templates(rendered(values, namespace=restricted))
    assert pods
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
    for name in ("guard-api", "guard-operator", "guard-notify", "guard-relay"):
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


def _environment(pods: Mapping[str, Any], name: str) -> dict[str, str]:
    (container,) = pods[name]["spec"]["containers"]
    return {one["name"]: one.get("value", "") for one in container["env"]}


def test_the_processes_take_the_settings_that_the_chart_gives_them(tmp_path: Path) -> None:
    """Each file that a variable names is mounted, and each process accepts all its variables."""
    pods = pod_templates(rendered(EVERYTHING))
    kinds = {
        "guard-api": ApiSettings,
        "guard-operator": OperatorSettings,
        "guard-notify": NotifySettings,
        "guard-relay": RelaySettings,
    }
    for name, kind in kinds.items():
        given = _environment(pods, name)
        (container,) = pods[name]["spec"]["containers"]
        mounts = {one["mountPath"] for one in container["volumeMounts"]}
        volumes = {one["name"] for one in pods[name]["spec"]["volumes"]}
        assert {one["name"] for one in container["volumeMounts"]} == volumes
        for variable, value in given.items():
            if value.startswith("/run/secrets/"):
                folder, _, file = value.rpartition("/")
                assert folder in mounts, variable
                (tmp_path / folder.strip("/")).mkdir(parents=True, exist_ok=True)
                (tmp_path / folder.strip("/") / file).write_text(_CONTENTS.get(variable, "x"))
        here = {
            variable: str(tmp_path / value.strip("/")) if value.startswith("/run/") else value
            for variable, value in given.items()
        }
        kind.from_environment(here)


_CONTENTS = {
    "DEFIB_DATABASE_URL_FILE": "postgresql://defib:only-for-tests@db:5432/defib",
    "DEFIB_REDIS_URL_FILE": "redis+sentinel://redis:26379/mymaster",
    "DEFIB_TRACING_HEADERS_FILE": "Authorization=Bearer%20only-for-tests",
}


def test_the_api_is_told_of_providers_proxies_and_its_certificate() -> None:
    given = _environment(pod_templates(rendered(EVERYTHING)), "guard-api")
    settings = {
        "DEFIB_ROLES": "administrator=defib-admins; viewer=*",
        "DEFIB_OIDC_ISSUER": "https://id.example.com/realms/ops",
        "DEFIB_OIDC_CLIENT_SECRET_FILE": "/run/secrets/defib/oidc/secret",
        "DEFIB_OIDC_ROLE_CLAIM": "realm_access.roles",
        "DEFIB_PROXY_CIDRS": "10.1.2.0/24,fd00::/64",
        "DEFIB_PUBLIC_URL": "https://defib.example.com",
        "DEFIB_SHARED_AGENT_KEYS": "false",
        "DEFIB_REPORT_LIMIT_PER_MINUTE": "1000000",
        "DEFIB_TRACING_RATIO": "0.5",
    }
    assert {name: given[name] for name in settings} == settings
    plain = _environment(pod_templates(rendered()), "defib-api")
    assert not [name for name in plain if name.startswith(("DEFIB_OIDC", "DEFIB_PROXY"))]
    assert not {"DEFIB_ROLES", "DEFIB_TRACING_URL", "DEFIB_TLS_CERT_FILE"} & plain.keys()


def test_with_a_certificate_of_its_own_everything_asks_the_api_over_https() -> None:
    pods = pod_templates(rendered(EVERYTHING))
    (container,) = pods["guard-api"]["spec"]["containers"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["scheme"] == "HTTPS"
    url = "https://guard-api.defib.svc:3000"
    assert _environment(pods, "guard-test")["API_URL"] == url
    assert _environment(pods, "guard-relay")["DEFIB_API_URL"] == url
    assert _environment(pod_templates(rendered()), "defib-test")["API_URL"].startswith("http://")


def test_the_relay_has_one_owner_of_its_folder_and_keeps_it() -> None:
    objects = {(one["kind"], one["metadata"]["name"]): one for one in rendered(EVERYTHING)}
    relay = objects["Deployment", "guard-relay"]["spec"]
    assert (relay["replicas"], relay["strategy"]) == (1, {"type": "Recreate"})
    claim = objects["PersistentVolumeClaim", "guard-relay"]
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert claim["spec"]["storageClassName"] == "fast"
    assert objects["PodDisruptionBudget", "guard-relay"]["spec"]["maxUnavailable"] == 0
    named = {one["name"]: one for one in relay["template"]["spec"]["volumes"]}
    assert named["reports"]["persistentVolumeClaim"] == {"claimName": "guard-relay"}
    bare = pod_templates(rendered(BARE))["defib-relay"]["spec"]["volumes"]
    assert {"name": "reports", "emptyDir": {"sizeLimit": "576Mi"}} in bare
    kinds = {(one["kind"], one["metadata"]["name"]) for one in rendered()}
    assert not [name for _, name in kinds if "relay" in name]


def test_whoever_may_reach_the_api_the_relay_and_helm_test_may_too() -> None:
    (policy,) = [
        one
        for one in rendered(EVERYTHING)
        if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "guard-api"
    ]
    named, ours = policy["spec"]["ingress"][0]["from"]
    assert named == {"ipBlock": {"cidr": "10.0.0.0/8"}}
    pods = pod_templates(rendered(EVERYTHING))
    for name in ("guard-relay", "guard-test"):
        labels = pods[name]["metadata"]["labels"]
        assert ours["podSelector"]["matchLabels"].items() <= labels.items()


def test_egress_is_open_to_what_is_used_and_no_further() -> None:
    def ports(values: Mapping[str, Any], name: str) -> set[int]:
        (policy,) = [
            one
            for one in rendered({**values, "networkPolicy.egress.enabled": True})
            if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == name
        ]
        return {one["port"] for rule in policy["spec"]["egress"] for one in rule["ports"]}

    assert ports(EVERYTHING, "guard-api") == {53, 5432, 6379, 26379, 443, 4318}
    assert ports(EVERYTHING, "guard-operator") == {53, 5432, 443, 6443, 8006, 4318}
    assert ports(EVERYTHING, "guard-relay") == {53, 443, 3000}
    assert ports(PLAIN, "defib-api") == {53, 5432, 6379, 26379}
