"""What is shipped for Argo CD and Flux: the health script by a real Lua, files by their names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from lupa import LuaRuntime

from defib_core.config.resources import API_VERSION, GROUP, RESOURCES
from support.helm import CHART
from support.kstatus import CURRENT, FAILED, IN_PROGRESS, kstatus

GITOPS = Path(__file__).parents[2] / "gitops"
SCRIPT = (GITOPS / "argocd" / "health.lua").read_text()
SAME = {"Healthy": CURRENT, "Degraded": FAILED, "Progressing": IN_PROGRESS}


def condition(kind: str, status: str, reason: str = "Word") -> Mapping[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": "a sentence"}


READY, NOT_READY = condition("Ready", "True", "Monitored"), condition("Ready", "False", "Conflict")


def health(obj: Mapping[str, Any]) -> tuple[str, str]:
    """Run the script as Argo CD does: `obj` is a global, and a table is returned."""
    lua = LuaRuntime(unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(obj, recursive=True)
    found = lua.execute(SCRIPT)
    return found.status, found.message


def vm(*conditions: Mapping[str, str], observed: int | None = 2) -> Mapping[str, Any]:
    status: dict[str, Any] = {"conditions": [dict(one) for one in conditions]}
    if observed is not None:
        status["observedGeneration"] = observed
    return {"metadata": {"generation": 2}, "status": status}


@pytest.mark.parametrize(
    ("obj", "status", "says"),
    [
        ({"metadata": {"generation": 1}}, "Progressing", "has not looked"),
        (
            {"metadata": {"generation": 1}, "status": {"observedGeneration": -1}},
            "Progressing",
            "has not looked",
        ),
        (vm(READY, observed=1), "Progressing", "has not looked"),
        (vm(READY), "Healthy", "Monitored: a sentence"),
        (vm(READY, condition("Healthy", "False")), "Healthy", "Monitored: a sentence"),
        (vm(NOT_READY, condition("Reconciling", "True")), "Progressing", "Conflict: a sentence"),
        (vm(NOT_READY, condition("Stalled", "True", "Conflict")), "Degraded", "Conflict"),
        (vm(condition("Stalled", "False"), READY), "Healthy", "Monitored"),
    ],
    ids=str,
)
def test_argo_cd_judges_as_kstatus_does(obj: Mapping[str, Any], status: str, says: str) -> None:
    found, message = health(obj)
    assert (found, says in message) == (status, True)
    if "observedGeneration" in obj.get("status", {}):
        assert SAME[found] == kstatus(obj)


def test_the_config_map_holds_the_script_for_each_kind() -> None:
    data = yaml.safe_load((GITOPS / "argocd" / "argocd-cm.yaml").read_text())["data"]
    for resource in RESOURCES:
        name = f"{GROUP}_{resource.kind}"
        assert data.pop(f"resource.customizations.health.{name}") == SCRIPT
        ignored = data.pop(f"resource.customizations.ignoreDifferences.{name}")
        assert yaml.safe_load(ignored) == {"jsonPointers": ["/status"]}
    assert data == {}


@pytest.mark.parametrize("file", sorted(GITOPS.rglob("*.yaml")), ids=lambda file: file.name)
def test_each_file_is_made_of_objects_that_name_what_is_there(file: Path) -> None:
    kinds = {resource.kind for resource in RESOURCES}
    for one in yaml.safe_load_all(file.read_text()):
        assert {"apiVersion", "kind", "metadata"} <= set(one)
        text = yaml.safe_dump(one)
        assert "helm/defib" not in text or CHART.is_dir()
        for check in one.get("spec", {}).get("healthChecks", []):
            assert (check["apiVersion"], check["kind"] in kinds) == (API_VERSION, True)
