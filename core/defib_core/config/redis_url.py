"""Where Redis (or Valkey) is: the forms of `DEFIB_REDIS_URL`, taken apart. Connects to nothing.

- `redis://user:password@host:6379/0`, `rediss://...` over TLS, `unix:///path`: one server.
- `redis+sentinel://user:password@host:26379,host:26379/mymaster/0`: the primary, as Sentinel knows.
- `redis+cluster://user:password@host:6379,host:6379`: a cluster, found through any of its nodes.

With `rediss+` both of the latter speak TLS, Sentinel included. No message holds a password.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit


class RedisKind(StrEnum):
    """How a server is found."""

    SINGLE = "single"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is."""

    kind: RedisKind
    hosts: tuple[tuple[str, int], ...]
    """Sentinels, or nodes of the cluster; none for a single server, which `plain` names."""
    plain: str
    """A URL of the form that every client knows: credentials, database and options."""
    service: str | None = None
    """Under which name Sentinel knows the primary."""
    sentinel_login: tuple[str | None, str | None] = (None, None)
    """User and password of the Sentinels themselves."""


OPTIONS = frozenset(
    {
        "db",
        "health_check_interval",
        "max_connections",
        "socket_keepalive",
        "ssl_ca_certs",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_ciphers",
        "ssl_keyfile",
    }
)
SENTINEL_OPTIONS = frozenset({"sentinel_username", "sentinel_password"})
PORTS = {RedisKind.SENTINEL: 26379, RedisKind.CLUSTER: 6379}
HIGHEST_PORT = 65535
FORMS = "redis://, rediss://, unix://, redis+sentinel://, redis+cluster:// (rediss+... over TLS)"

_SEVERAL = re.compile(
    r"(?P<scheme>rediss?)\+(?P<kind>sentinel|cluster)://"
    r"(?:(?P<login>[^@/?#]*)@)?(?P<hosts>[^@/?#]+)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")


def read_redis_url(url: str) -> RedisAddress:
    """Take a URL apart; raises ValueError with what is wrong, without the URL."""
    scheme = url.partition("://")[0]
    if scheme in {"redis", "rediss", "unix"}:
        return _single(url, scheme)
    if not re.fullmatch(r"rediss?\+(sentinel|cluster)", scheme):
        raise ValueError(f"must begin with one of {FORMS}")
    found = _SEVERAL.fullmatch(url)
    if found is None:
        raise ValueError(
            f"must be of the form {scheme}://user:password@host:port,host:port/...;"
            " write @ / ? # in a password as %40 %2F %3F %23"
        )
    return _several(found)


def _single(url: str, scheme: str) -> RedisAddress:
    try:
        parts = urlsplit(url)
        is_placed = bool(parts.path if scheme == "unix" else parts.hostname and parts.port != 0)
    except ValueError as error:
        raise ValueError("its port is no number from 1 to 65535") from error
    if not is_placed:
        raise ValueError(f"{scheme}:// needs a {'path' if scheme == 'unix' else 'host'}")
    _checked(parts.query, scheme, OPTIONS)
    return RedisAddress(RedisKind.SINGLE, (), url)


def _several(found: re.Match[str]) -> RedisAddress:
    kind, scheme = RedisKind(found["kind"]), found["scheme"]
    hosts = tuple(_host(one, PORTS[kind]) for one in found["hosts"].split(","))
    known = OPTIONS | SENTINEL_OPTIONS if kind is RedisKind.SENTINEL else OPTIONS
    options = _checked(found["query"] or "", scheme, known)
    own = {name: options.pop(name, None) for name in sorted(SENTINEL_OPTIONS)}
    service, database = _placed(kind, found["path"] or "")
    login = f"{found['login']}@" if found["login"] else ""
    host, port = hosts[0]
    query = f"?{urlencode(options)}" if options else ""
    shown = f"[{host}]" if ":" in host else host
    return RedisAddress(
        kind=kind,
        hosts=hosts,
        plain=f"{scheme}://{login}{shown}:{port}/{database}{query}",
        service=service,
        sentinel_login=(own["sentinel_username"], own["sentinel_password"]),
    )


def _host(text: str, usual: int) -> tuple[str, int]:
    found = _HOST.fullmatch(text.strip())
    port = usual if found is None or found["port"] is None else int(found["port"])
    if found is None or not 0 < port <= HIGHEST_PORT:
        raise ValueError("each host must be of the form host or host:port, with commas between")
    return found["host"].strip("[]"), port


def _placed(kind: RedisKind, path: str) -> tuple[str | None, int]:
    """Read the service and the database from the path."""
    pieces = [unquote(one) for one in path.strip("/").split("/") if one]
    if kind is RedisKind.CLUSTER:
        if pieces not in ([], ["0"]):
            raise ValueError("a cluster has the database 0 alone; leave the path out")
        return None, 0
    match pieces:
        case [service]:
            return service, 0
        case [service, database] if database.isdecimal():
            return service, int(database)
        case _:
            raise ValueError(
                "Sentinel's name of the primary must follow the hosts, as in /mymaster, and behind"
                " it at most the database's number"
            )


def _checked(query: str, scheme: str, known: frozenset[str]) -> dict[str, str]:
    """Refuse options that the client does not know: it would only say so at the first read."""
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name in options:
        if name not in known:
            raise ValueError(f"{name[:40]} is no option; known: {', '.join(sorted(known))}")
        if name.startswith("ssl_") and scheme != "rediss":
            raise ValueError(f"{name} is for TLS: the URL must begin with rediss")
    return options
