"""The Kubernetes API: the only module that speaks to it besides kopf's own watching.

Reads a kubeconfig that it was given, or the pod's service account; never the user's own context.
"""

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aiohttp
import kopf
from kubernetes.aio import client, config
from kubernetes.aio.client.exceptions import ApiException
from yaml import YAMLError

from defib_core.config.resources import GROUP, VERSION, Resource
from defib_core.config.settings import SettingsError

REQUEST_SECONDS = 15
PAGE = 500
PROBE_SECONDS = 3
SECRET_SECONDS = 3
"""The sweep may wait for it: a token that is known already is used where it takes longer."""
FIELD_MANAGER = "defib-operator"
WORDS_MAX = 500
MERGE_PATCH = "application/merge-patch+json"
OK, BAD_REQUEST, FORBIDDEN, NOT_FOUND, CONFLICT, UNPROCESSABLE = 200, 400, 403, 404, 409, 422

Object = Mapping[str, Any]


class KubernetesError(Exception):
    """The Kubernetes API refused or could not be reached; the text says what was asked."""

    def __init__(self, what: str, status: int | None, text: str) -> None:
        super().__init__(f"{what}: {text}")
        self.status = status

    @property
    def is_final(self) -> bool:
        """True where asking the same again would bring the same answer."""
        return self.status in (BAD_REQUEST, NOT_FOUND, UNPROCESSABLE)


class KubernetesNotFound(KubernetesError):
    """There is no such object."""


class KubernetesConflict(KubernetesError):
    """There is such an object already."""


@asynccontextmanager
async def connect(kubeconfig: Path | None) -> AsyncIterator["Kubernetes"]:
    """Open a client with the given kubeconfig, or the pod's service account."""
    settings = await _configuration(kubeconfig)
    async with client.ApiClient(settings) as api:
        yield Kubernetes(api, settings)


async def _configuration(kubeconfig: Path | None) -> client.Configuration:
    settings = client.Configuration()
    try:
        if kubeconfig is None:
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]  # the library's own
        else:
            await config.load_kube_config(  # type: ignore[no-untyped-call]  # same
                str(kubeconfig), client_configuration=settings, persist_config=False
            )
    except (config.ConfigException, OSError, TypeError, YAMLError) as error:
        # The library stumbles over a file that holds something else.
        where = "the pod's service account" if kubeconfig is None else str(kubeconfig)
        raise SettingsError(
            f"cannot read {where}: {str(error).rstrip('.')}. Outside a pod set DEFIB_KUBECONFIG to"
            " a kubeconfig file"
        ) from error
    return settings


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on one resource; `name` where it is held for one object alone."""

    verb: str
    group: str
    resource: str
    subresource: str | None = None
    name: str | None = None

    def __str__(self) -> str:
        part = f"/{self.subresource}" if self.subresource else ""
        group = f".{self.group}" if self.group else ""
        return f"{self.verb} {self.resource}{part}{group}" + (f" {self.name}" if self.name else "")


class Kubernetes:
    """What Defib asks of the Kubernetes API."""

    def __init__(self, api: client.ApiClient, settings: client.Configuration) -> None:
        self._api = api
        self._settings = settings
        self._version = client.VersionApi(api)
        self._objects = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._events = client.EventsV1Api(api)
        self._authorization = client.AuthorizationV1Api(api)

    def login(self) -> kopf.ConnectionInfo:
        """Give kopf the same credentials."""
        settings = self._settings
        header = (settings.api_key or {}).get("BearerToken") or (settings.api_key or {}).get(
            "authorization"
        )
        scheme, _, token = (header or "").rpartition(" ")
        return kopf.ConnectionInfo(
            server=settings.host,
            ca_path=settings.ssl_ca_cert,
            certificate_path=settings.cert_file,
            private_key_path=settings.key_file,
            scheme=(scheme or "Bearer") if token else None,
            token=token or None,
        )

    async def list_pages(
        self, resource: Resource, namespace: str | None
    ) -> AsyncIterator[Sequence[Object]]:
        """List all objects of a kind; never more than one page of them is held."""
        token: str | None = None
        while True:
            page = await self._call(
                f"list {resource.plural}", self._list, resource, namespace, token
            )
            yield page["items"]
            token = page["metadata"].get("continue")
            if not token:
                return

    async def probe(self, resource: Resource, namespace: str | None) -> None:
        """Hear the API: a listing of at most one object."""
        await self._call(
            f"list {resource.plural}", self._list, resource, namespace, None, 1, PROBE_SECONDS
        )

    async def check_may_watch(self, resource: Resource, namespace: str | None) -> None:
        """Ask whether we may watch a kind; raise KubernetesError where not.

        The watch itself does not say so: whoever keeps it goes on trying.
        """
        if not await self.may(Right("watch", GROUP, resource.plural), namespace):
            raise KubernetesError(
                f"watch {resource.plural}",
                FORBIDDEN,
                f'we cannot watch resource "{resource.plural}" in API group "{GROUP}":'
                " its Role lacks the verb",
            )

    async def may(self, right: Right, namespace: str | None) -> bool:
        """Ask whether we hold a right: in a namespace, or in all where it is None."""
        attributes = client.V1ResourceAttributes(
            group=right.group,
            resource=right.resource,
            subresource=right.subresource,
            verb=right.verb,
            name=right.name,
            namespace=namespace,
        )
        review = await self._call(
            "ask for our rights",
            self._authorization.create_self_subject_access_review,
            client.V1SelfSubjectAccessReview(
                spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes)
            ),
            _request_timeout=PROBE_SECONDS,
        )
        return bool(review.status.allowed)

    async def version(self) -> str:
        """Say which Kubernetes answers."""
        found = await self._call(
            "ask for the version", self._version.get_code, _request_timeout=PROBE_SECONDS
        )
        return str(found.git_version)

    async def fields_of_specs(self) -> Mapping[str, frozenset[str]]:
        """Say which fields the installed definitions know in the spec of each kind.

        Whoever is signed in may ask this; reading the definitions themselves takes a right.
        """
        what = f"read the definitions of {GROUP}/{VERSION}"
        asked = await self._api.param_serialize(
            "GET",
            f"/openapi/v3/apis/{GROUP}/{VERSION}",
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        told = await self._call(what, self._api.call_api, *asked, _request_timeout=PROBE_SECONDS)
        text = await self._call(what, told.read)
        if told.status == NOT_FOUND:
            raise KubernetesNotFound(what, NOT_FOUND, "the API server does not know them")
        if told.status != OK:
            raise KubernetesError(what, told.status, f"{told.status} {told.reason}")
        return _fields_of_specs(json.loads(text))

    def _list(
        self,
        resource: Resource,
        namespace: str | None,
        token: str | None,
        limit: int = PAGE,
        seconds: float = REQUEST_SECONDS,
    ) -> Any:  # noqa: ANN401 - the library's own
        paging: dict[str, Any] = {"limit": limit, "_request_timeout": seconds}
        if token:
            paging["_continue"] = token
        where = (GROUP, VERSION)
        if namespace is None:
            return self._objects.list_cluster_custom_object(*where, resource.plural, **paging)
        return self._objects.list_namespaced_custom_object(
            *where, namespace, resource.plural, **paging
        )

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """Read one object. Raises KubernetesNotFound."""
        return cast(
            "Object",
            await self._call(
                f"read {resource.kind} {namespace}/{name}",
                self._objects.get_namespaced_custom_object,
                GROUP,
                VERSION,
                namespace,
                resource.plural,
                name,
                _request_timeout=REQUEST_SECONDS,
            ),
        )

    async def patch_status(
        self, resource: Resource, namespace: str, name: str, status: Mapping[str, Any], uid: str
    ) -> None:
        """Write an object's status, if it is still the same object. Raises KubernetesNotFound."""
        try:
            await self._call(
                f"write the status of {resource.kind} {namespace}/{name}",
                self._objects.patch_namespaced_custom_object_status,
                GROUP,
                VERSION,
                namespace,
                resource.plural,
                name,
                {"metadata": {"uid": uid}, "status": status},
                field_manager=FIELD_MANAGER,
                _content_type=MERGE_PATCH,
                _request_timeout=REQUEST_SECONDS,
            )
        except KubernetesConflict as error:
            raise KubernetesNotFound(str(error), CONFLICT, "another object has its name") from error

    async def create(self, resource: Resource, namespace: str, body: Mapping[str, Any]) -> Object:
        """Create an object. Raises KubernetesConflict where its name is taken."""
        return cast(
            "Object",
            await self._call(
                f"create {resource.kind} {namespace}/{body['metadata']['name']}",
                self._objects.create_namespaced_custom_object,
                GROUP,
                VERSION,
                namespace,
                resource.plural,
                body,
                field_manager=FIELD_MANAGER,
                _request_timeout=REQUEST_SECONDS,
            ),
        )

    async def read_secret(self, namespace: str, name: str) -> Mapping[str, str]:
        """Read a Secret's values as text. Raises KubernetesNotFound.

        What is no text is of no use here, and no reason to stumble: people name any Secret.
        """
        secret = await self._call(
            f"read Secret {namespace}/{name}",
            self._core.read_namespaced_secret,
            name,
            namespace,
            _request_timeout=SECRET_SECONDS,
        )
        return {
            key: base64.b64decode(value).decode(errors="replace")
            for key, value in (secret.data or {}).items()
        }

    async def post_event(self, namespace: str, body: Mapping[str, Any]) -> None:
        """Post an Event of events.k8s.io/v1."""
        await self._call(
            "post an Event",
            self._events.create_namespaced_event,
            namespace,
            body,
            field_manager=FIELD_MANAGER,
            _request_timeout=REQUEST_SECONDS,
        )

    async def _call(self, what: str, method: Any, *args: object, **kwargs: object) -> Any:  # noqa: ANN401 - the library's own
        try:
            return await method(*args, **kwargs)
        except ApiException as error:
            raise _translate(what, error) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise KubernetesError(what, None, f"no answer: {error!r}") from error


def _translate(what: str, error: ApiException) -> KubernetesError:
    kind = {NOT_FOUND: KubernetesNotFound, CONFLICT: KubernetesConflict}.get(
        error.status, KubernetesError
    )
    return kind(what, error.status, f"{error.status} {error.reason}: {_words_of(error)}")


def _words_of(error: ApiException) -> str:
    """The API server's own sentence; it names verb, resource and user where rights are missing."""
    try:
        words = json.loads(error.body or "")["message"]
    except (ValueError, TypeError, KeyError):
        words = error.body
    return str(words)[:WORDS_MAX]


def _fields_of_specs(document: Mapping[str, Any]) -> Mapping[str, frozenset[str]]:
    """Read an OpenAPI document of our group: the fields of `spec`, by kind."""
    found = {}
    for schema in document.get("components", {}).get("schemas", {}).values():
        spec = schema.get("properties", {}).get("spec", {})
        for named in schema.get("x-kubernetes-group-version-kind", []):
            if named.get("group") == GROUP and spec:
                found[named["kind"]] = frozenset(spec.get("properties", {}))
    return found
