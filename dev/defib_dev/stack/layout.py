"""Where a stack's files are, and on which ports it listens."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from defib_dev.components.errors import ComponentError
from defib_dev.components.ports import LOOPBACK

HIGHEST_OFFSET = 40_000


@dataclass(frozen=True, slots=True)
class StackPorts:
    """The defaults, each moved by the offset: stacks run side by side."""

    offset: int = 0

    def __post_init__(self) -> None:
        """Refuse what would leave the range of ports."""
        if not 0 <= self.offset <= HIGHEST_OFFSET:
            raise ComponentError(f"--port-offset must be 0 to {HIGHEST_OFFSET}, not {self.offset}")

    @property
    def api(self) -> int:
        """Defib's HTTP API."""
        return 3000 + self.offset

    @property
    def dashboard(self) -> int:
        """The page."""
        return 5173 + self.offset

    @property
    def postgres(self) -> int:
        """PostgreSQL."""
        return 5433 + self.offset

    @property
    def valkey(self) -> int:
        """Valkey or Redis."""
        return 6380 + self.offset

    @property
    def apiserver(self) -> int:
        """The Kubernetes API."""
        return 6444 + self.offset

    @property
    def etcd(self) -> int:
        """Etcd's clients."""
        return 2390 + self.offset

    @property
    def etcd_peer(self) -> int:
        """Etcd's peers, of which there are none."""
        return 2391 + self.offset

    @property
    def proxmox(self) -> int:
        """The Proxmox simulator's HTTPS API."""
        return 8006 + self.offset

    @property
    def proxmox_control(self) -> int:
        """The simulator's control interface."""
        return 8007 + self.offset

    @property
    def operator_probes(self) -> int:
        """The operator's health and readiness."""
        return 8081 + self.offset

    @property
    def api_metrics(self) -> int:
        """The API's metrics."""
        return 9464 + self.offset

    @property
    def operator_metrics(self) -> int:
        """The operator's metrics."""
        return 9465 + self.offset


@dataclass(frozen=True, slots=True)
class StackFolder:
    """The one folder that holds everything of a stack. Removing it forgets the stack."""

    root: Path

    def make(self) -> None:
        """Make the folder where it is not there. What is private in it has its own narrow mode.

        Others may pass through: as root, PostgreSQL runs under another account.
        """
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        for private in (self.secrets, self.pki, self.logs):
            private.mkdir(mode=0o700, exist_ok=True)

    def remove(self) -> None:
        """Remove what a stack put there, and the folder when nothing else is in it."""
        for part in (
            self.secrets,
            self.pki,
            self.logs,
            self.postgres,
            self.valkey,
            self.kubernetes,
        ):
            shutil.rmtree(part, ignore_errors=True)
        for file in (self.state, self.lock):
            file.unlink(missing_ok=True)
        if not any(self.root.iterdir()):
            self.root.rmdir()

    @property
    def state(self) -> Path:
        """Which processes run, from which `up`."""
        return self.root / "state.json"

    @property
    def lock(self) -> Path:
        """Held while an `up` or `down` is at work."""
        return self.root / "lock"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        """Tokens, passwords and the URLs that hold them, a file each."""
        return self.root / "secrets"

    @property
    def pki(self) -> Path:
        """The Proxmox simulator's authority and certificate."""
        return self.root / "pki"

    @property
    def postgres(self) -> Path:
        """Where PostgreSQL's data goes, when its account can reach it."""
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's configuration."""
        return self.root / "valkey"

    @property
    def kubernetes(self) -> Path:
        """Etcd's data, certificates and the kubeconfig."""
        return self.root / "kubernetes"


def loopback(scheme: str, port: int) -> str:
    """An address on this machine."""
    return f"{scheme}://{LOOPBACK}:{port}"
