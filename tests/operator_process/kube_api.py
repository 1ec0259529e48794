"""The Kubernetes API as a person uses it, over plain HTTPS: a witness apart from the operator."""

import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from defib_core.config.resources import API_VERSION, GROUP, RESOURCES, VERSION

PLURALS = {resource.kind: resource.plural for resource in RESOURCES}
MANAGER = "somebody"

Object = dict[str, Any]


class Refused(AssertionError):
    """The API server said no."""


@dataclass(frozen=True, slots=True)
class KubeApi:
    """One namespace."""

    http: httpx.AsyncClient
    namespace: str

    async def apply(
        self,
        kind: str,
        name: str,
        spec: Mapping[str, Any],
        *,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> Object:
        """Server-side apply, as `kubectl apply --server-side` does."""
        body = {
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {
                "name": name,
                "labels": dict(labels or {}),
                "annotations": dict(annotations or {}),
            },
            "spec": dict(spec),
        }
        return await self._send(
            "PATCH",
            f"{self._path(kind)}/{name}?fieldManager={MANAGER}&force=true",
            json.dumps(body),
            "application/apply-patch+yaml",
        )

    async def patch(self, kind: str, name: str, change: Mapping[str, Any]) -> Object:
        """Merge a change into an object."""
        return await self._send(
            "PATCH",
            f"{self._path(kind)}/{name}?fieldManager={MANAGER}",
            json.dumps(change),
            "application/merge-patch+json",
        )

    async def get(self, kind: str, name: str) -> Object | None:
        """Read one object; None where there is none."""
        answer = await self.http.get(f"{self._path(kind)}/{name}")
        return None if answer.status_code == httpx.codes.NOT_FOUND else _read(answer)

    async def every(self, kind: str) -> list[Object]:
        """Read all objects of a kind."""
        items: list[Object] = _read(await self.http.get(self._path(kind)))["items"]
        return items

    async def delete(self, kind: str, name: str) -> None:
        """Delete an object."""
        _read(await self.http.delete(f"{self._path(kind)}/{name}"))

    async def create_namespace(self) -> None:
        """Create this namespace."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}
        await self._send("POST", "/api/v1/namespaces", json.dumps(body), "application/json")

    async def put_secret(
        self, name: str, values: Mapping[str, str], binary: Mapping[str, bytes] | None = None
    ) -> None:
        """Create a Secret, or replace what is in it."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name},
            "data": {
                name: base64.b64encode(value).decode()
                for name, value in {
                    **{name: text.encode() for name, text in values.items()},
                    **(binary or {}),
                }.items()
            },
        }
        await self._send(
            "PATCH",
            f"{self._secrets()}/{name}?fieldManager={MANAGER}&force=true",
            json.dumps(body),
            "application/apply-patch+yaml",
        )

    async def delete_secret(self, name: str) -> None:
        """Delete a Secret."""
        _read(await self.http.delete(f"{self._secrets()}/{name}"))

    async def events(self, name: str) -> list[Object]:
        """Read the Events about an object of this name, oldest first."""
        path = f"/apis/events.k8s.io/v1/namespaces/{self.namespace}/events"
        items: list[Object] = _read(await self.http.get(path))["items"]
        about = [one for one in items if one["regarding"]["name"] == name]
        return sorted(about, key=lambda one: str(one["eventTime"]))

    def _path(self, kind: str) -> str:
        return f"/apis/{GROUP}/{VERSION}/namespaces/{self.namespace}/{PLURALS[kind]}"

    def _secrets(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/secrets"

    async def _send(self, method: str, path: str, content: str, kind: str) -> Object:
        answer = await self.http.request(
            method, path, content=content, headers={"Content-Type": kind}
        )
        return _read(answer)


def _read(answer: httpx.Response) -> Object:
    if not answer.is_success:
        raise Refused(answer.text)
    read: Object = answer.json()
    return read


@asynccontextmanager
async def kube_api(kubeconfig: Path, namespace: str) -> AsyncIterator[KubeApi]:
    """Speak to the cluster of a kubeconfig as its user."""
    trust, server = _trust(kubeconfig), server_of(kubeconfig)
    async with httpx.AsyncClient(base_url=server, verify=trust, timeout=20) as http:
        yield KubeApi(http, namespace)


def _trust(kubeconfig: Path) -> ssl.SSLContext:
    """Trust the cluster, and be its user."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile() as both:
        both.write(base64.b64decode(user["client-certificate-data"]))
        both.write(base64.b64decode(user["client-key-data"]))
        both.flush()
        context.load_cert_chain(both.name)
    return context


def server_of(kubeconfig: Path) -> str:
    """The API server's URL."""
    url: str = yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"]
    return url


def kubeconfig_through(kubeconfig: Path, port: int, folder: Path) -> Path:
    """A copy of a kubeconfig that leads through another port of this machine."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster = config["clusters"][0]["cluster"]
    cluster["server"] = urlsplit(cluster["server"])._replace(netloc=f"127.0.0.1:{port}").geturl()
    copy = folder / "kubeconfig-through-proxy"
    copy.write_text(yaml.safe_dump(config))
    return copy
