"""Kubectl bound to one kubeconfig. Never the user's current context."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from defib_dev.components.errors import ComponentError


class KubectlError(ComponentError):
    """The command was refused; the message is what kubectl said."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Runs kubectl against the cluster of `kubeconfig`, which must exist."""

    program: Path
    kubeconfig: Path

    def run(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """The command's output; `KubectlError` with its words when it fails."""
        answer = subprocess.run(
            [self.program, *arguments],
            check=False,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self._environment(),
        )
        if answer.returncode != 0:
            raise KubectlError(f"kubectl {arguments[0]}: {answer.stderr.strip()}")
        return answer.stdout

    def apply(self, manifest: str, *, namespace: str | None = None) -> str:
        """Server-side apply of YAML text. Secrets travel on standard input."""
        where = ("--namespace", namespace) if namespace else ()
        flags = ("--server-side", "--field-manager=defib-dev", "--force-conflicts")
        return self.run("apply", *flags, *where, "--filename=-", stdin=manifest)

    def apply_definitions(self, files: list[Path]) -> None:
        """Apply custom resource definitions and wait until the API server serves them."""
        named = [f"--filename={file}" for file in files]
        flags = ("--server-side", "--field-manager=defib-dev", "--force-conflicts")
        self.run("apply", *flags, *named)
        self.run("wait", "--for=condition=Established", "--timeout=60s", *named, timeout=90)

    def ensure_namespace(self, name: str) -> None:
        """Create the namespace where it is not there yet."""
        self.apply(f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n")

    def _environment(self) -> dict[str, str]:
        """Its own caches beside the kubeconfig, and no proxy on the way to loopback."""
        return {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(self.kubeconfig.parent / "kubectl-cache"),
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }
