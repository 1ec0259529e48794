"""Defib's own programs as the stack runs them: their commands, settings and signs of life."""

import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from defib_dev.components import secrets_files
from defib_dev.components.dashboard import Dashboard
from defib_dev.components.errors import ComponentError
from defib_dev.components.node import Node
from defib_dev.components.ports import LOOPBACK
from defib_dev.components.processes import ProcessSpec, clean_environment
from defib_dev.stack import demo
from defib_dev.stack.layout import StackFolder, StackPorts, loopback
from defib_dev.stack.runner import Service

TOKEN_ID = "defib@pve!operator"  # noqa: S105 - a token's name; its secret is generated
NAMESPACE = "defib"
DEMO_REPORT_SECONDS = 5

_PROGRAM = (sys.executable, "-m", "defib_cli.main")


@dataclass(frozen=True, slots=True)
class Programs:
    """Makes the services of one stack."""

    folder: StackFolder
    ports: StackPorts

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder.kubernetes / "kubeconfig"

    @property
    def database_url(self) -> Path:
        """A file with the URL."""
        return self.folder.secrets / "database-url"

    @property
    def redis_url(self) -> Path:
        """A file with the URL."""
        return self.folder.secrets / "redis-url"

    @property
    def admin_token(self) -> Path:
        """A file with the administrator's bearer token for the API."""
        return self.folder.secrets / "admin-token"

    @property
    def agent_key(self) -> Path:
        """A file with the key that agents send as X-API-Key."""
        return self.folder.secrets / "agent-key"

    @property
    def proxmox_secret(self) -> Path:
        """A file with the secret of the operator's Proxmox token."""
        return self.folder.secrets / "proxmox-token-secret"

    def migrate(self) -> None:
        """Bring the database to this version's schema."""
        self._run("db", "upgrade")

    def ensure_tokens(self) -> None:
        """Make the agents' and the administrator's token, once."""
        wanted = {
            self.agent_key: ("--kind", "agent", "--cluster", "default", "--name", "demo"),
            self.admin_token: ("--kind", "admin", "--name", "local"),
        }
        for file, arguments in wanted.items():
            if not file.exists():
                secrets_files.write(file, self._run("token", "create", *arguments).strip())

    def proxmox(
        self, certificate: Path, key: Path, authority: Path, inventory: Path | None
    ) -> Service:
        """The Proxmox simulator; without an inventory it has nodes and no guests."""
        secrets_files.ensure(self.proxmox_secret)
        arguments = (
            *("--port", str(self.ports.proxmox)),
            *("--control-port", str(self.ports.proxmox_control)),
            *("--cert", str(certificate), "--key", str(key)),
            *("--token-id", TOKEN_ID, "--token-secret-file", str(self.proxmox_secret)),
            *(("--inventory", str(inventory)) if inventory else ()),
        )
        return Service(
            title="the Proxmox simulator",
            spec=self._spec("proxmox-sim", ("dev", "proxmox-sim", *arguments)),
            ports=(self.ports.proxmox, self.ports.proxmox_control),
            missing=lambda: self._proxmox_missing(authority),
        )

    def api(self, page: Path | None = None) -> Service:
        """The HTTP API, and with it the built page where there is one."""
        settings = {
            "DEFIB_API_HOST": LOOPBACK,
            "DEFIB_API_PORT": str(self.ports.api),
            **_metrics_at(self.ports.api_metrics),
        }
        if page is not None:
            settings["DEFIB_FRONTEND_DIR"] = str(page)
        ready = loopback("http", self.ports.api) + "/readyz"
        return Service(
            title="the API",
            spec=self._spec("api", ("api", "serve"), settings),
            ports=(self.ports.api, self.ports.api_metrics),
            missing=lambda: answer_missing(ready),
        )

    def dashboard(self, dashboard: Dashboard, node: Node) -> Service:
        """The built page where developers look for it, with the API behind it."""
        address = loopback("http", self.ports.dashboard)
        arguments = ("preview", str(dashboard.folder), "--port", str(self.ports.dashboard))
        spec = ProcessSpec(
            "dashboard",
            (str(node.program), str(dashboard.vite), *arguments),
            {"DEFIB_DEV_API": loopback("http", self.ports.api)},
            stop_seconds=5,
        )
        return Service(
            title="the dashboard",
            spec=spec,
            ports=(self.ports.dashboard,),
            missing=lambda: answer_missing(address),
        )

    def operator(self) -> Service:
        """The operator."""
        settings = {
            "DEFIB_KUBECONFIG": str(self.kubeconfig),
            "DEFIB_PROBE_HOST": LOOPBACK,
            "DEFIB_PROBE_PORT": str(self.ports.operator_probes),
            **_metrics_at(self.ports.operator_metrics),
        }
        ready = loopback("http", self.ports.operator_probes) + "/readyz"
        return Service(
            title="the operator",
            spec=self._spec("operator", ("operator", "run"), settings),
            ports=(self.ports.operator_probes, self.ports.operator_metrics),
            missing=lambda: answer_missing(ready),
        )

    def fleet(self) -> Service:
        """The demo's agents."""
        arguments = (
            *("--api", loopback("http", self.ports.api)),
            *("--key-file", str(self.agent_key)),
            *("--control", loopback("http", self.ports.proxmox_control)),
            *("--interval", str(DEMO_REPORT_SECONDS)),
            *("--cpu", f"{demo.BUSY_VMID}=93"),
        )
        return Service(
            title="the demo fleet",
            spec=self._spec("fleet", ("dev", "fleet", *arguments)),
            missing=self._reports_missing,
        )

    def story(self, hostname: str, vmid: int) -> Service:
        """Freezes one demo VM once it is seen healthy, and ends."""
        arguments = (
            *("--api", loopback("http", self.ports.api)),
            *("--token-file", str(self.admin_token)),
            *("--control", loopback("http", self.ports.proxmox_control)),
            *("--hostname", hostname, "--vmid", str(vmid)),
        )
        return Service(
            title="the demo's story", spec=self._spec("story", ("dev", "story", *arguments))
        )

    def _spec(
        self, name: str, command: tuple[str, ...], settings: Mapping[str, str] | None = None
    ) -> ProcessSpec:
        return ProcessSpec(name, (*_PROGRAM, *command), {**self._settings(), **(settings or {})})

    def _settings(self) -> dict[str, str]:
        return {
            "DEFIB_DATABASE_URL_FILE": str(self.database_url),
            "DEFIB_REDIS_URL_FILE": str(self.redis_url),
            "DEFIB_NAMESPACE": NAMESPACE,
            "DEFIB_LOG_FORMAT": "console",
            "PYTHONUNBUFFERED": "1",
        }

    def _run(self, *arguments: str) -> str:
        """Run one of our commands to its end; its output."""
        answer = subprocess.run(
            [*_PROGRAM, *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd="/",
            env={**clean_environment(), **self._settings()},
        )
        if answer.returncode != 0:
            said = (answer.stderr or answer.stdout).strip()
            raise ComponentError(f"defib {' '.join(arguments[:2])} failed:\n{said}")
        return answer.stdout

    def _reports_missing(self) -> str | None:
        """None when the API knows a VM, so that a heartbeat has gone all the way."""
        url = loopback("http", self.ports.api) + "/api/status"
        header = {"Authorization": f"Bearer {self.admin_token.read_text()}"}
        try:
            answer = _get(url, header, authority=None).raise_for_status()
        except httpx.HTTPError as error:
            return f"{url}: {error!r}"
        return None if answer.json()["vms"]["total"] else "no VM has reported yet"

    def _proxmox_missing(self, authority: Path) -> str | None:
        """The simulator must accept the operator's token over verified TLS, and be controllable."""
        header = {"Authorization": f"PVEAPIToken={TOKEN_ID}={self.proxmox_secret.read_text()}"}
        url = loopback("https", self.ports.proxmox) + "/api2/json/version"
        return answer_missing(url, headers=header, authority=authority) or answer_missing(
            loopback("http", self.ports.proxmox_control) + "/control/guests"
        )


def _metrics_at(port: int) -> dict[str, str]:
    return {"DEFIB_METRICS_HOST": LOOPBACK, "DEFIB_METRICS_PORT": str(port)}


def answer_missing(
    url: str, *, headers: Mapping[str, str] | None = None, authority: Path | None = None
) -> str | None:
    """None when the address answers 200, else what it does instead. Past any proxy."""
    try:
        answer = _get(url, headers or {}, authority)
    except httpx.HTTPError as error:
        return f"{url}: {error!r}"
    return (
        None if answer.is_success else f"{url} answered {answer.status_code}: {answer.text[:300]}"
    )


def _get(url: str, headers: Mapping[str, str], authority: Path | None) -> httpx.Response:
    verify = ssl.create_default_context(cafile=str(authority)) if authority else True
    with httpx.Client(verify=verify, trust_env=False, timeout=2) as client:
        return client.get(url, headers=dict(headers))
