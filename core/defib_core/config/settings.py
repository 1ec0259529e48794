"""Settings of the processes, read once in `main` from `DEFIB_*` variables and passed in.

Any setting may come from a file instead: `DEFIB_DATABASE_URL_FILE=/run/secrets/url` is read and
stripped. A variable that starts with `DEFIB_` and is none of ours is refused, so that a typo
does not silently leave a default in force.
"""

import re
from collections.abc import Container, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from defib_core.config.redis_url import read_redis_url
from defib_core.config.sign_in import SignInSettings

PREFIX = "DEFIB_"
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_|~-]+")
FILE_SUFFIX = "_FILE"


class SettingsError(Exception):
    """The environment does not describe a runnable process; the text names the variable."""


class LogFormat(StrEnum):
    """How log lines are written."""

    JSON = "json"
    CONSOLE = "console"


class FromEnvironment(BaseModel):
    """Settings that are read from `DEFIB_*` variables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    _files: dict[str, Path] = PrivateAttr(default_factory=dict)
    """From which file a setting came, where it came from one."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Build the settings; raise SettingsError naming each variable that is wrong or missing."""
        given = {
            name: value
            for variable, value in environment.items()
            if variable.startswith(PREFIX)
            for name, value in [_setting(variable, value)]
            if name in cls.model_fields or _refuse_unknown(variable, name)
        }
        try:
            settings = cls(**given)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from error
        settings._files.update(_files_of(environment, cls.model_fields))
        return settings

    def secret_now(self, name: str) -> str | None:
        """Read a secret anew from its file, so that it can be changed without a restart.

        What cannot be read, or is empty, is what it was at the start: a file may be away for a
        moment while it is replaced.
        """
        at_start = getattr(self, name)
        try:
            text = self._files[name].read_text().strip()
        except (KeyError, OSError, UnicodeDecodeError):
            text = ""
        return text or (None if at_start is None else at_start.get_secret_value())


class MetricsSettings(FromEnvironment):
    """Where a process shows its metrics."""

    metrics_host: str = "0.0.0.0"  # noqa: S104 - Prometheus asks from outside the pod
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """The port of /metrics; without it none is open."""


class TracingSettings(FromEnvironment):
    """Where a process sends its traces."""

    tracing_url: str | None = Field(default=None, pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*)?$")
    """The OTLP receiver, over HTTP, such as `http://collector:4318`; without it none are made."""
    tracing_ratio: float = Field(default=0.1, ge=0, le=1)
    """The share of requests and sweeps that are traced. Resets always are."""
    tracing_headers: SecretStr | None = None
    """Headers for the receiver, as OTLP writes them: `Authorization=Bearer%20TOKEN,x-team=ops`."""
    tracing_ca_file: Path | None = None
    """The certificate authority of the receiver, as PEM, where the system does not know it."""

    @property
    def headers_of_traces(self) -> dict[str, str]:
        """The headers, read."""
        headers = self.tracing_headers
        return {} if headers is None else _headers(headers.get_secret_value())

    @field_validator("tracing_headers")
    @classmethod
    def _are_headers(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _headers(value.get_secret_value())
        return value


class Settings(FromEnvironment):
    """What every process needs."""

    database_url: SecretStr
    """`postgresql://user:password@host:port/name`; without it nothing starts."""
    redis_url: SecretStr | None = None
    """`redis://...`, or by Sentinel or cluster, see `redis_url`; without it every read is answered
    from PostgreSQL, slower."""
    namespace: str = Field(default="defib", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    """The Kubernetes namespace of the default cluster, the default SystemConfig and of VMs that
    registered themselves."""
    log_level: str = Field(default="info", pattern=r"^(debug|info|warning|error)$")
    log_format: LogFormat = LogFormat.JSON

    def url_now(self) -> str:
        """Say the database's URL as it is now."""
        return self.secret_now("database_url") or ""

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr) -> SecretStr:
        url = value.get_secret_value()
        if not url.startswith(("postgresql://", "postgres://")) or not _has_a_port(url):
            raise ValueError("must be a URL of the form postgresql://user:password@host:5432/defib")
        return value


class DatabaseSettings(Settings):
    """What the database commands need."""


class ApiSettings(Settings, MetricsSettings, TracingSettings, SignInSettings):
    """The API process."""

    api_host: str = "0.0.0.0"  # noqa: S104 - the API faces the network; tests and the stack bind loopback
    api_port: int = Field(default=3000, ge=1, le=65535)
    manual_reset_wait_seconds: float = Field(default=4.5, gt=0, le=60)
    """How long POST .../reset waits for the operator before it answers 202."""
    report_limit_per_minute: int = Field(default=120, ge=0, le=1_000_000)
    """Reports that one VM may send in a minute before it is answered 429; 0 for any number."""
    frontend_dir: Path | None = None
    """The built dashboard; served at / where given."""
    public_url: str | None = Field(
        default=None, pattern=r"^https?://[A-Za-z0-9._\[\]:-]{1,260}(/[A-Za-z0-9._~/-]{0,200})?$"
    )
    """How agents reach this API, such as `https://defib.example.com`; the address that was asked
    for the installer otherwise."""
    shared_agent_keys: bool = True
    """false: reports under a key that is not a single VM's are refused."""
    tls_cert_file: Path | None = None
    """The certificate, with those between it and the root, as PEM: the API speaks HTTPS itself.
    Read again when it changes."""
    tls_key_file: Path | None = None
    """Its key, as PEM."""

    @property
    def is_https(self) -> bool:
        """Whether browsers reach it over HTTPS, as far as the settings say."""
        return self.tls_cert_file is not None or (self.public_url or "").startswith("https://")

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            read_redis_url(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _has_both_of_tls(self) -> Self:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError("DEFIB_TLS_CERT_FILE and DEFIB_TLS_KEY_FILE belong together")
        return self


class OperatorSettings(Settings, MetricsSettings, TracingSettings):
    """The operator process."""

    kubeconfig: Path | None = None
    """A kubeconfig file. Without it the pod's service account is used; never ~/.kube/config."""
    cluster_wide: bool = False
    """Watch all namespaces instead of `namespace` alone."""
    identity: str | None = None
    """This replica's name in the leader's lease; the host's name and the process id otherwise."""
    lease_seconds: float = Field(default=8.0, ge=2, le=60)
    probe_host: str = "0.0.0.0"  # noqa: S104 - the kubelet asks from outside the pod
    probe_port: int = Field(default=8081, ge=1, le=65535)
    metrics_per_vm: bool = False
    """Show figures of each VM as well: several series a VM, for small fleets."""


class RelaySettings(MetricsSettings):
    """The relay. It knows the API, and neither the database nor Kubernetes."""

    api_url: str = Field(pattern=r"^https?://[^\s/]+")
    """The API, such as `https://defib.example.com`."""
    api_ca_file: Path | None = None
    """The certificate authority of the API, as PEM, where the system does not know it."""
    relay_token: SecretStr
    """What `defib relay create` printed."""
    relay_folder: Path = Path("/var/lib/defib-relay")
    """Where reports are kept until the API has them; on a disk that survives a restart."""
    relay_most_megabytes: int = Field(default=512, ge=1, le=1_000_000)
    """How much of them; past it the oldest are dropped, and counted."""
    relay_host: str = "0.0.0.0"  # noqa: S104 - the agents ask from other machines
    relay_port: int = Field(default=3000, ge=1, le=65535)
    report_limit_per_minute: int = Field(default=120, ge=0, le=1_000_000)
    """Reports that one VM may send in a minute before it is answered 429; 0 for any number."""
    log_level: str = Field(default="info", pattern=r"^(debug|info|warning|error)$")
    log_format: LogFormat = LogFormat.JSON


class NotifySettings(Settings, MetricsSettings):
    """The worker that tells people."""

    notify_config: Path
    """The file with destinations; it holds secrets."""
    probe_host: str = "0.0.0.0"  # noqa: S104 - the kubelet asks from outside the pod
    probe_port: int | None = Field(default=None, ge=1, le=65535)
    """The port of /livez and /readyz; without it none is open."""


class ClientSettings(FromEnvironment):
    """The commands that people give, which ask the API. The token itself is never a setting."""

    api_url: str | None = None
    """Such as `https://defib.example.com`."""
    token_file: Path | None = None
    """A file that holds an administrator's token."""
    api_ca_file: Path | None = None
    """The certificate authority of the API, as PEM, where the system does not know it."""


KNOWN_TO_ALL = frozenset(
    name
    for kind in (
        DatabaseSettings,
        ApiSettings,
        OperatorSettings,
        RelaySettings,
        NotifySettings,
        ClientSettings,
    )
    for name in kind.model_fields
)


def _headers(text: str) -> dict[str, str]:
    """Read headers as OTLP writes them; what is wrong is said without showing any."""
    found = {}
    for part in text.split(","):
        name, equals, value = (unquote(piece.strip()) for piece in part.partition("="))
        if not equals or not HEADER.fullmatch(name) or not value.isprintable():
            raise ValueError("must be of the form Name=value,Name=value, with %20 for a blank")
        found[name] = value
    return found


def _has_a_port(url: str) -> bool:
    """True unless what stands for the port is none; a password may be in the way, unescaped."""
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _setting(variable: str, value: str) -> tuple[str, str]:
    name = variable.removeprefix(PREFIX).lower()
    if not variable.endswith(FILE_SUFFIX) or name in KNOWN_TO_ALL:
        return name, value
    try:
        return name.removesuffix(FILE_SUFFIX.lower()), Path(value).read_text().strip()
    except OSError as error:
        raise SettingsError(f"{variable}: cannot read {value}: {error.strerror}") from error


def _files_of(environment: Mapping[str, str], fields: Container[str]) -> dict[str, Path]:
    """Say from which files settings came; `_setting` reads them."""
    found = {}
    for variable, value in environment.items():
        name = variable.removeprefix(PREFIX).lower()
        of = name.removesuffix(FILE_SUFFIX.lower())
        is_file = of != name and name not in KNOWN_TO_ALL
        if variable.startswith(PREFIX) and is_file and of in fields:
            found[of] = Path(value)
    return found


def _refuse_unknown(variable: str, name: str) -> bool:
    """Pass over what belongs to another process of ours; refuse what belongs to none."""
    if name in KNOWN_TO_ALL:
        return False
    raise SettingsError(f"{variable} is not a setting of Defib; known: {_all_variables()}")


def _all_variables() -> str:
    return ", ".join(sorted(PREFIX + name.upper() for name in KNOWN_TO_ALL))


def _explain(error: ValidationError) -> str:
    return "; ".join(_explain_one(dict(one)) for one in error.errors(include_url=False))


def _explain_one(error: dict[str, Any]) -> str:
    if not error["loc"]:
        return str(error["msg"]).removeprefix("Value error, ")
    variable = PREFIX + "_".join(str(part) for part in error["loc"]).upper()
    if error["type"] == "missing":
        return f"{variable} is not set (or {variable}{FILE_SUFFIX}, naming a file that holds it)"
    return f"{variable}: {error['msg']}"
