"""The configuration of notifications: a YAML file, mounted from a Secret since it names addresses.

Unknown fields are refused, and what is wrong is said by its place. Nothing here connects.
"""

import base64
import binascii
import ssl
from datetime import time
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from defib_core.config.settings import SettingsError
from defib_core.domain.notices import NoticeKind, Severity

SCHEMES = frozenset(
    {
        "discord",
        "gchat",
        "gotify",
        "gotifys",
        "mailto",
        "mailtos",
        "matrix",
        "matrixs",
        "mmost",
        "mmosts",
        "msteams",
        "ntfy",
        "ntfys",
        "opsgenie",
        "pagerduty",
        "pover",
        "rocket",
        "rockets",
        "signal",
        "signals",
        "slack",
        "splunk",
        "tgram",
        "twilio",
        "webex",
        "workflows",
        "zulip",
    }
)
"""What Apprise may be asked for: services that carry messages. None runs a program, writes a file
or posts to any address in any form."""
SECRET_PREFIX = "whsec_"  # noqa: S105 - how Standard Webhooks marks a secret
SHORTEST_SECRET = 24


def _is_web(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be http:// or https:// with a host")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or password")
    return url


WebUrl = Annotated[str, AfterValidator(_is_web)]


class Part(BaseModel):
    """A part of the file."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, validate_by_name=True
    )


class Day(StrEnum):
    """A day of the week, as it is written."""

    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


class QuietWindow(Part):
    """A time of the day in which nobody is told; it may go over midnight."""

    begins: time = Field(alias="from")
    ends: time = Field(alias="to")
    days: tuple[Day, ...] = tuple(Day)
    """On which days it begins."""
    timezone: str = "UTC"

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError("is no time zone, such as Europe/Berlin") from error
        return name

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.begins == self.ends:
            raise ValueError("from and to are the same")
        return self


class Webhook(Part):
    """An address of your own that takes our messages, signed."""

    url: WebUrl
    secret: SecretStr

    @field_validator("secret")
    @classmethod
    def _is_long_enough(cls, secret: SecretStr) -> SecretStr:
        key_of(secret)
        return secret


class Destination(Part):
    """Who is told, of what, by which way, and when not."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    webhook: Webhook | None = None
    apprise: SecretStr | None = None
    """An Apprise URL, such as `mailtos://user:password@smtp.example.com?to=ops@example.com`."""
    kinds: tuple[NoticeKind, ...] = tuple(NoticeKind)
    at_least: Severity = Severity.INFO
    quiet: tuple[QuietWindow, ...] = ()
    quiet_for_critical: bool = False
    """true: what is critical waits for the morning too."""

    @field_validator("apprise")
    @classmethod
    def _is_allowed(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            scheme = url.get_secret_value().partition("://")[0].lower()
            if scheme not in SCHEMES:
                raise ValueError(f"the scheme must be one of {', '.join(sorted(SCHEMES))}")
        return url

    @model_validator(mode="after")
    def _has_one_way(self) -> Self:
        if (self.webhook is None) == (self.apprise is None):
            raise ValueError("needs either webhook or apprise")
        return self

    def wants(self, kind: NoticeKind) -> bool:
        """Say whether it is to be told of this."""
        return kind in self.kinds and kind.severity.rank >= self.at_least.rank


class DeadMansSwitch(Part):
    """An address that is asked for while Defib is well; its silence is the alarm."""

    url: WebUrl
    every_seconds: int = Field(default=60, ge=10, le=86400)


class NotifyConfig(Part):
    """The whole file."""

    destinations: tuple[Destination, ...] = ()
    dead_mans_switch: DeadMansSwitch | None = None
    group_wait_seconds: int = Field(default=30, ge=0, le=3600)
    """How long a first notice waits for others of its group."""
    group_interval_seconds: int = Field(default=300, ge=0, le=86400)
    """The least time between two messages of a group; what is critical does not wait."""
    hold_grace_seconds: int = Field(default=600, ge=0, le=86400)
    """How long a hold lasts before anybody is told."""
    allowed_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Private networks that may be sent to; none is otherwise."""
    ca_bundle: str | None = None
    """Certificate authorities of your own, as PEM, that webhooks and the switch trust as well."""

    @field_validator("ca_bundle")
    @classmethod
    def _holds_certificates(cls, pem: str | None) -> str | None:
        if pem is not None:
            try:
                ssl.create_default_context(cadata=pem or "none")
            except ssl.SSLError as error:
                raise ValueError("holds no certificates as PEM") from error
        return pem

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [one.name for one in self.destinations]
        if len(set(names)) < len(names):
            raise ValueError("two destinations have the same name")
        return self


def key_of(secret: SecretStr) -> bytes:
    """The key that a secret of Standard Webhooks stands for; raises ValueError."""
    text = secret.get_secret_value()
    if not text.startswith(SECRET_PREFIX):
        raise ValueError(f"must begin with {SECRET_PREFIX}, followed by Base64")
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError(f"is not Base64 after {SECRET_PREFIX}") from error
    if len(key) < SHORTEST_SECRET:
        raise ValueError(f"is too short: at least {SHORTEST_SECRET} bytes")
    return key


def read(file: Path) -> NotifyConfig:
    """Read the file; raises SettingsError, which never shows a value."""
    try:
        said: Any = yaml.safe_load(file.read_text())
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        line = "" if place is None else f" (line {place.line + 1})"
        raise SettingsError(f"{file} is not YAML{line}") from error
    try:
        return NotifyConfig.model_validate({} if said is None else said)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False, include_context=False)
        told = "; ".join(f"{_place_of(one['loc'])}: {one['msg']}" for one in wrong)
        raise SettingsError(f"{file}: {told}") from error


def _place_of(loc: tuple[str | int, ...]) -> str:
    return ".".join(str(part) for part in loc) or "the file"
