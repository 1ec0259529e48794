"""Etcd and kube-apiserver on loopback: a real Kubernetes API without nodes or controllers.

Everything is TLS with client certificates, from authorities of its own; nobody is let in
anonymously. There is no controller manager: a deleted namespace stays `Terminating`, nothing
collects garbage. Never touches the user's own kubeconfig.
"""

import base64
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from defib_dev.components import secrets_files
from defib_dev.components.certificates import Authority, KeyPair, ensure_signing_key
from defib_dev.components.control_plane import ControlPlanePrograms
from defib_dev.components.ports import LOOPBACK
from defib_dev.components.processes import ProcessSpec

_ADMINISTRATORS = "system:masters"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the three listeners are."""

    apiserver: int
    etcd: int
    etcd_peer: int


@dataclass(frozen=True, slots=True)
class KubernetesApi:
    """One etcd and one API server in `home`. `durable=False` skips fsync: tests only."""

    programs: ControlPlanePrograms
    home: Path
    ports: Ports
    durable: bool = True

    @property
    def url(self) -> str:
        """The API server's address."""
        return f"https://{LOOPBACK}:{self.ports.apiserver}"

    @property
    def kubeconfig(self) -> Path:
        """An administrator's kubeconfig; readable by the user alone."""
        return self.home / "kubeconfig"

    def prepare(self) -> None:
        """Make certificates and the kubeconfig; keeps what is still good."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._etcd_identity()
        self._server_identity()
        ensure_signing_key(self._signing_key)
        secrets_files.write(self.kubeconfig, self._kubeconfig_text())

    def etcd_spec(self, *, dies_with_parent: bool = False) -> ProcessSpec:
        """The etcd process."""
        client = f"https://{LOOPBACK}:{self.ports.etcd}"
        peer = f"https://{LOOPBACK}:{self.ports.etcd_peer}"
        identity, ca = self._etcd_identity(), str(self._etcd_authority.files.certificate)
        flags = {
            "name": "defib",
            "data-dir": str(self.home / "etcd"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"defib={peer}",
            "cert-file": str(identity.certificate),
            "key-file": str(identity.key),
            "client-cert-auth": "true",
            "trusted-ca-file": ca,
            "peer-cert-file": str(identity.certificate),
            "peer-key-file": str(identity.key),
            "peer-client-cert-auth": "true",
            "peer-trusted-ca-file": ca,
            "log-level": "warn",
            "unsafe-no-fsync": "false" if self.durable else "true",
        }
        argv = (str(self.programs.etcd), *_flags(flags))
        return ProcessSpec(name="etcd", argv=argv, dies_with_parent=dies_with_parent)

    def apiserver_spec(self, *, dies_with_parent: bool = False) -> ProcessSpec:
        """The API server process."""
        etcd, server = self._etcd_identity(), self._server_identity()
        flags = {
            "bind-address": LOOPBACK,
            "advertise-address": LOOPBACK,
            "secure-port": str(self.ports.apiserver),
            "tls-cert-file": str(server.certificate),
            "tls-private-key-file": str(server.key),
            "client-ca-file": str(self._authority.files.certificate),
            "anonymous-auth": "false",
            "authorization-mode": "RBAC",
            "etcd-servers": f"https://{LOOPBACK}:{self.ports.etcd}",
            "etcd-cafile": str(self._etcd_authority.files.certificate),
            "etcd-certfile": str(etcd.certificate),
            "etcd-keyfile": str(etcd.key),
            "service-cluster-ip-range": "10.243.0.0/16",
            "service-account-issuer": self.url,
            "service-account-key-file": str(self._signing_key),
            "service-account-signing-key-file": str(self._signing_key),
            # No controller manager makes service accounts, and no node runs what would use them.
            "disable-admission-plugins": "ServiceAccount",
            # A loopback address is refused as an endpoint of the service `kubernetes`.
            "endpoint-reconciler-type": "none",
            "profiling": "false",
        }
        argv = (str(self.programs.kube_apiserver), *_flags(flags))
        return ProcessSpec(name="kube-apiserver", argv=argv, dies_with_parent=dies_with_parent)

    def etcd_missing(self) -> str | None:
        """What keeps etcd from answering; None when it is healthy."""
        return _answer_missing(
            f"https://{LOOPBACK}:{self.ports.etcd}/health",
            self._etcd_authority.files.certificate,
            self._etcd_identity(),
        )

    def missing(self) -> str | None:
        """What keeps the API server from being ready; None when it is."""
        authority = self._authority
        administrator = authority.client("administrator", organization=_ADMINISTRATORS)
        return _answer_missing(f"{self.url}/readyz", authority.files.certificate, administrator)

    @property
    def _signing_key(self) -> Path:
        return self.home / "pki" / "service-accounts.key"

    @property
    def _authority(self) -> Authority:
        return Authority.ensure(self.home / "pki", "kubernetes-ca")

    @property
    def _etcd_authority(self) -> Authority:
        """Apart from the other one: a user of the API server is no user of etcd."""
        return Authority.ensure(self.home / "pki", "etcd-ca")

    def _etcd_identity(self) -> KeyPair:
        return self._etcd_authority.server("etcd")

    def _server_identity(self) -> KeyPair:
        return self._authority.server("kube-apiserver")

    def _kubeconfig_text(self) -> str:
        """JSON, which is YAML too."""
        administrator = self._authority.client("administrator", organization=_ADMINISTRATORS)
        cluster = {
            "server": self.url,
            "certificate-authority-data": _base64(self._authority.files.certificate),
        }
        user = {
            "client-certificate-data": _base64(administrator.certificate),
            "client-key-data": _base64(administrator.key),
        }
        context = {"cluster": "defib", "user": "administrator", "namespace": "default"}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "defib", "cluster": cluster}],
            "users": [{"name": "administrator", "user": user}],
            "contexts": [{"name": "defib", "context": context}],
            "current-context": "defib",
        }
        return json.dumps(document, indent=2) + "\n"


def _flags(flags: dict[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in flags.items()]


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def _answer_missing(url: str, authority: Path, client: KeyPair) -> str | None:
    """None when the address answers 200 to this client, else why not. Past any proxy."""
    context = ssl.create_default_context(cafile=str(authority))
    context.load_cert_chain(str(client.certificate), str(client.key))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )
    try:
        with opener.open(url, timeout=2):
            return None
    except urllib.error.HTTPError as error:
        with error:
            return f"{url} answered {error.code}: {error.read(300).decode(errors='replace')}"
    except OSError as error:
        return f"{url}: {error}"
