"""Wrong values are refused by helm itself, with the value's name and what it should be."""

from typing import Any

import pytest

from support.helm import CHART, helm, rendered, template


def test_the_chart_passes_helms_strict_linter() -> None:
    ran = helm("lint", "--strict", str(CHART), "--kube-version", "1.37.2")
    assert ran.code == 0, ran.out + ran.err


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"replicas": 2}, ["additional properties 'replicas' not allowed"]),
        ({"api.replica": 2}, ["/api", "additional properties 'replica' not allowed"]),
        ({"api.replicas": "two"}, ["/api/replicas", "got string, want integer"]),
        ({"api.replicas": 0}, ["/api/replicas", "minimum: got 0, want 1"]),
        (
            {"api.service.type": "Public"},
            ["/api/service/type", "value must be one of", "ClusterIP"],
        ),
        ({"api.service.port": 70000}, ["/api/service/port", "maximum: got 70,000, want 65,535"]),
        ({"database.existingSecret": ""}, ["/database/existingSecret", "minLength"]),
        ({"database.sslMode": "on"}, ["/database/sslMode", "verify-full"]),
        ({"database.password": "secret"}, ["/database", "'password' not allowed"]),
        ({"log.level": "trace"}, ["/log/level", "'warning'"]),
        ({"operator.leaseSeconds": 1}, ["/operator/leaseSeconds", "minimum: got 1, want 2"]),
        ({"rbac.proxmoxSecrets": "token"}, ["/rbac/proxmoxSecrets", "got string, want array"]),
        ({"rbac.proxmoxSecrets": [""]}, ["/rbac/proxmoxSecrets/0", "minLength"]),
        ({"api.terminationGracePeriodSeconds": 10}, ["minimum: got 10, want 30"]),
        (
            {"api.terminationGracePeriodSeconds": 30},
            ["api.terminationGracePeriodSeconds is 30", "set at least 35"],
        ),
        (
            {"api.autoscaling": {"enabled": True, "minReplicas": 9, "maxReplicas": 3}},
            ["api.autoscaling.minReplicas (9) is more than maxReplicas (3)"],
        ),
        (
            {"metrics.rules.enabled": True},
            ["metrics.rules.enabled: set metrics.enabled as well"],
        ),
        ({"metrics.podMonitor.interval": "often"}, ["/metrics/podMonitor/interval", "pattern"]),
        ({"gateway.enabled": True}, ["gateway.parentRefs: name the Gateway"]),
        ({"signIn.oidc.issuer": "http://id.example.com"}, ["/signIn/oidc/issuer", "pattern"]),
        ({"signIn.oidc.clientSecret": "geheim"}, ["/signIn/oidc", "'clientSecret' not allowed"]),
        (
            {"signIn.oidc.issuer": "https://id.example.com"},
            ["signIn.oidc.clientId: say how this Defib is registered"],
        ),
        (
            {"signIn.oidc": {"issuer": "https://id.example.com", "clientId": "defib"}},
            ["api.publicUrl: signIn.oidc needs it"],
        ),
        (
            {
                "signIn.oidc": {"issuer": "https://id.example.com", "clientId": "defib"},
                "api.publicUrl": "https://defib.example.com",
            },
            ["signIn.roles: say which groups have which role"],
        ),
        ({"signIn.roles": ["boss=everybody"]}, ["/signIn/roles/0", "pattern"]),
        (
            {"signIn.proxy.userHeader": "X-User", "signIn.roles": ["viewer=*"]},
            ["signIn.proxy.cidrs: name the proxy's own networks"],
        ),
        (
            {"signIn.proxy.groupsHeader": "X-Groups"},
            ["signIn.proxy.groupsHeader: set userHeader as well"],
        ),
        (
            {"signIn.proxy.cidrs": ["0.0.0.0/0"]},
            ["signIn.proxy.cidrs: 0.0.0.0/0 is everybody"],
        ),
        ({"signIn.proxy.cidrs": ["10.0.0.1"]}, ["/signIn/proxy/cidrs/0", "pattern"]),
        ({"api.publicUrl": "defib.example.com"}, ["/api/publicUrl", "pattern"]),
        ({"tracing.ratio": 10}, ["/tracing/ratio", "maximum: got 10, want 1"]),
        ({"tracing.url": "collector:4318"}, ["/tracing/url", "pattern"]),
        ({"relay.alone": True}, ["relay.alone: set relay.enabled as well"]),
        (
            {"relay.alone": True, "relay.enabled": True},
            ["relay.apiUrl: with relay.alone there is no API here"],
        ),
        ({"relay.replicas": 2}, ["/relay", "additional properties 'replicas' not allowed"]),
        ({"relay.persistence.size": "1GB"}, ["/relay/persistence/size", "pattern"]),
        (
            {"relay.enabled": True, "relay.mostMegabytes": 2048},
            ["relay.persistence.size is 1Gi: make it more than relay.mostMegabytes (2048)"],
        ),
        ({"serviceAccounts.create": False}, ["serviceAccounts.operator: name the operator's"]),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_readably(values: dict[str, Any], says: list[str]) -> None:
    ran = template(values)
    assert ran.code != 0
    assert [one for one in says if one not in ran.err] == [], ran.err


def test_an_older_kubernetes_is_refused() -> None:
    ran = helm("template", "defib", str(CHART), "--kube-version", "1.29.0")
    assert ran.code != 0
    assert "requires kubeVersion: >=1.30.0-0" in ran.err


def test_no_secret_is_made_and_none_is_in_the_environment() -> None:
    everything = {
        "redis.existingSecret": "redis",
        "database.caSecret.name": "authority",
        "notify.enabled": True,
        "relay.enabled": True,
        "tracing": {"url": "http://collector:4318", "existingSecret": "headers"},
        "api.tls.existingSecret": "certificate",
        "api.publicUrl": "https://defib.example.com",
        "signIn.roles": ["viewer=*"],
        "signIn.oidc": {
            "issuer": "https://id.example.com",
            "clientId": "defib",
            "existingSecret": "oidc",
        },
    }
    objects = rendered(everything)
    assert [one for one in objects if one["kind"] == "Secret"] == []
    texts = [str(one) for one in objects]
    assert not any("secretKeyRef" in text or "secretRef" in text for text in texts)


def test_a_part_chart_may_be_given_global_values() -> None:
    assert template({"global": {"region": "north"}}).code == 0
