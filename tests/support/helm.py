"""The real helm, bound to one kubeconfig and with caches of its own."""

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from defib_dev.components.control_plane import require_helm

CHART = Path(__file__).parents[2] / "helm" / "defib"
KUBE_VERSION = "1.37.2"

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ran:
    """What helm said."""

    code: int
    out: str
    err: str


def helm(*arguments: str, kubeconfig: Path | None = None, timeout: float = 120) -> Ran:
    """Run helm to its end. Without a kubeconfig it reaches no cluster, least of all the user's."""
    answer = subprocess.run(
        [str(require_helm()), *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        env=environment(kubeconfig),
    )
    return Ran(answer.returncode, answer.stdout, answer.stderr)


def environment(kubeconfig: Path | None) -> dict[str, str]:
    """The environment of a helm that knows one cluster, or none."""
    home = str((kubeconfig or Path("/nonexistent/kubeconfig")).parent / "helm")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("HELM_")},
        "KUBECONFIG": str(kubeconfig or "/nonexistent/kubeconfig"),
        "HELM_CACHE_HOME": home,
        "HELM_CONFIG_HOME": home,
        "HELM_DATA_HOME": home,
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }


def template(values: Mapping[str, Any] | None = None, *, namespace: str = "defib") -> Ran:
    """Render the chart with some values."""
    where = ("--namespace", namespace, "--kube-version", KUBE_VERSION)
    return helm("template", "defib", str(CHART), *where, *as_flags(values or {}))


def rendered(
    values: Mapping[str, Any] | None = None, *, namespace: str = "defib"
) -> list[Manifest]:
    """Every object of the chart with these values."""
    ran = template(values, namespace=namespace)
    assert ran.code == 0, ran.err
    return [one for one in yaml.safe_load_all(ran.out) if one]


def as_flags(values: Mapping[str, Any]) -> list[str]:
    """Values as `--set-json` flags: nothing is guessed about types."""
    return [
        part
        for name, value in values.items()
        for part in ("--set-json", f"{name}={json.dumps(value)}")
    ]


def pod_templates(objects: list[Manifest]) -> dict[str, Manifest]:
    """The pods that the objects would make, by the name of their maker."""
    pods = {}
    for one in objects:
        if one["kind"] == "Pod":
            pods[one["metadata"]["name"]] = one
        elif "template" in one.get("spec", {}):
            inner = one["spec"]["template"]
            meta = {**inner["metadata"], "name": one["metadata"]["name"]}
            pods[one["metadata"]["name"]] = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": meta,
                "spec": inner["spec"],
            }
    return pods
