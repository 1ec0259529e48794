"""What helm says after an installation: what is waited for, and what comes next."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from support.control_plane import TestControlPlane
from support.helm import CHART, as_flags, helm

OIDC: Mapping[str, Any] = {
    "signIn.roles": ["viewer=*"],
    "signIn.oidc": {
        "issuer": "https://id.example.com",
        "clientId": "defib",
        "existingSecret": "oidc-client",
    },
    "api.publicUrl": "https://defib.example.com",
}


@pytest.fixture
def notes_of(control_plane: TestControlPlane) -> Callable[[Mapping[str, Any]], str]:
    """Gives what helm would say; nothing is installed."""

    def ask(values: Mapping[str, Any]) -> str:
        ran = helm(
            *("install", "defib", str(CHART), "--namespace", "default", "--dry-run=server"),
            *as_flags(values),
            kubeconfig=control_plane.kubeconfig,
        )
        assert ran.code == 0, ran.err
        return ran.out.partition("\nNOTES:\n")[2]

    return ask


def test_it_names_the_secrets_that_are_waited_for(
    notes_of: Callable[[Mapping[str, Any]], str],
) -> None:
    plain = notes_of({})
    assert "waits for its Secrets: defib-database.\n" in plain
    assert "only reached inside the cluster: http://defib-api.default.svc:3000" in plain
    assert "relay" not in plain
    more = notes_of(
        {
            **OIDC,
            "redis.existingSecret": "redis",
            "api.tls.existingSecret": "certificate",
            "notify.enabled": True,
            "relay.enabled": True,
        }
    )
    names = "defib-database, redis, certificate, oidc-client, defib-notify, defib-relay"
    assert f"waits for its Secrets: {names}.\n" in more


def test_it_says_where_to_register_and_how_to_make_the_relays_token(
    notes_of: Callable[[Mapping[str, Any]], str],
) -> None:
    said = notes_of({**OIDC, "relay.enabled": True, "relay.persistence.enabled": False})
    assert "https://defib.example.com/api/oidc/callback" in said
    assert "The API is at https://defib.example.com\n" in said
    assert "-- defib relay create NAME" in said
    assert "create secret generic defib-relay --from-literal=token=TOKEN" in said
    assert "WARNING: relay.persistence.enabled is false" in said


def test_of_a_relay_alone_it_speaks_of_the_relay_alone(
    notes_of: Callable[[Mapping[str, Any]], str],
) -> None:
    url = "https://defib.example.com"
    said = notes_of({"relay": {"enabled": True, "alone": True, "apiUrl": url}})
    assert f"It forwards to {url}\n" in said
    assert "defib relay create NAME" in said
    assert "ProxmoxCluster" not in said
