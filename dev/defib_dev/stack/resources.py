"""What the stack puts into its own Kubernetes API: definitions, the Proxmox token, the demo."""

from importlib import resources
from pathlib import Path

import yaml

import defib_dev
from defib_dev.components.certificates import Authority
from defib_dev.components.errors import MissingComponentError
from defib_dev.components.kubectl import Kubectl
from defib_dev.stack import demo
from defib_dev.stack.layout import loopback
from defib_dev.stack.programs import NAMESPACE, TOKEN_ID, Programs

_API_VERSION = "defib.dev/v1alpha1"
_TOKEN_SECRET = "proxmox-token"  # noqa: S105 - the Secret's name

Manifest = dict[str, object]


def apply(kubectl: Kubectl, programs: Programs, proxmox: Authority, with_demo: bool) -> None:
    """Apply everything the operator needs to find before it starts."""
    kubectl.apply_definitions(definitions())
    kubectl.ensure_namespace(NAMESPACE)
    ours = [_token(programs), _cluster(programs, proxmox)]
    kubectl.apply(yaml.safe_dump_all(ours), namespace=NAMESPACE)
    if not _exists(kubectl, "systemconfig", "default"):
        # Once only: what a user changes or deletes afterwards is his.
        text = demo.RESOURCES.read_text() if with_demo else yaml.safe_dump(_plain_config())
        kubectl.apply(text, namespace=NAMESPACE)


def definitions() -> list[Path]:
    """The custom resource definitions: the checkout's, else those in the installed package."""
    checkout = Path(defib_dev.__file__).parents[2] / "crds"
    installed = Path(str(resources.files("defib_core"))) / "crds"
    for folder in (checkout, installed):
        if files := sorted(folder.glob("*.yaml")):
            return files
    raise MissingComponentError(
        "the custom resource definitions (crds/*.yaml)",
        looked_in=(str(checkout), str(installed)),
        remedy="git checkout -- crds",
    )


def _token(programs: Programs) -> Manifest:
    data = {"tokenId": TOKEN_ID, "tokenSecret": programs.proxmox_secret.read_text().strip()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": _TOKEN_SECRET},
        "stringData": data,
    }


def _cluster(programs: Programs, proxmox: Authority) -> Manifest:
    spec: Manifest = {
        "endpoints": [loopback("https", programs.ports.proxmox)],
        "caBundle": proxmox.pem,
        "tokenSecretRef": {"name": _TOKEN_SECRET},
    }
    return _custom("ProxmoxCluster", spec)


def _plain_config() -> Manifest:
    return _custom("SystemConfig", {})


def _custom(kind: str, spec: Manifest) -> Manifest:
    metadata = {"name": "default"}
    return {"apiVersion": _API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def _exists(kubectl: Kubectl, kind: str, name: str) -> bool:
    where = ("--namespace", NAMESPACE, "--ignore-not-found", "--output=name")
    return bool(kubectl.run("get", kind, name, *where).strip())
