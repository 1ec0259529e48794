"""The agents and their installers as the API hands them out: found, filled in, with checksums.

What is filled in ends up in scripts that run as root: only plain addresses and plain tokens may.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import defib_api

EXAMPLE_SERVER = "https://defib.example.com"
PLACEHOLDER = "ENROLMENT_TOKEN"
SERVER = re.compile(r"\Ahttps?://[A-Za-z0-9._\[\]:-]{1,260}(?:/[A-Za-z0-9._~/-]{0,200})?\Z")
TOKEN = re.compile(r"\A[A-Za-z0-9._~+/=-]{1,200}\Z")
LINUX_AGENT, WINDOWS_AGENT = "linux/linux-agent.sh", "windows/windows-agent.ps1"
FILES = {"linux-agent.sh": LINUX_AGENT, "windows-agent.ps1": WINDOWS_AGENT}
"""What `/agent/NAME` serves, and where it is in `agents/`."""


class AgentFilesMissing(Exception):
    """This installation of the API came without the agents."""


@dataclass(frozen=True, slots=True)
class Address:
    """The server as a VM reaches it; refuses what is no plain address."""

    url: str

    def __post_init__(self) -> None:
        """Raise ValueError where it could be more than an address."""
        if not SERVER.match(self.url):
            raise ValueError(f"{self.url[:100]!r} is no plain address")


@cache
def folder() -> Path:
    """The checkout's `agents/`, else the installed package's. Raises AgentFilesMissing."""
    checkout = Path(defib_api.__file__).parents[2] / "agents"
    installed = Path(str(resources.files("defib_api"))) / "agents"
    for found in (checkout, installed):
        if (found / LINUX_AGENT).is_file():
            return found
    raise AgentFilesMissing(f"no agents in {checkout} or {installed}")


@cache
def text_of(path: str) -> str:
    """A file of `agents/`, read once. Raises AgentFilesMissing."""
    try:
        return (folder() / path).read_text()
    except OSError as error:
        raise AgentFilesMissing(f"{path}: {error.strerror}") from error


@cache
def sha256_of(path: str) -> str:
    """The checksum of a file of `agents/`, in hexadecimal."""
    return hashlib.sha256(text_of(path).encode()).hexdigest()


def linux_installer(server: Address, token: str | None) -> str:
    """`install.sh` with everything filled in; without a token its place stays as it is."""
    return _fill(
        text_of("linux/install.sh"),
        {
            "@SERVER@": server.url,
            "@AGENT_SHA256@": sha256_of(LINUX_AGENT),
            "@UNIT@\n": text_of("linux/defib-agent.service"),
            **({} if token is None else {"@ENROLMENT_TOKEN@": _plain(token)}),
        },
    )


def windows_installer(server: Address, token: str | None) -> str:
    """`install.ps1`, likewise."""
    return _fill(
        text_of("windows/install.ps1"),
        {
            "@SERVER@": server.url,
            "@AGENT_SHA256@": sha256_of(WINDOWS_AGENT),
            "@UNINSTALL@\n": text_of("windows/uninstall.ps1"),
            **({} if token is None else {"@ENROLMENT_TOKEN@": _plain(token)}),
        },
    )


def example(name: str, server: Address) -> str:
    """An example of `agents/examples`, with the server's address."""
    return text_of(f"examples/{name}").replace(EXAMPLE_SERVER, server.url)


def _plain(token: str) -> str:
    if not TOKEN.match(token):
        raise ValueError("the header X-Enrolment-Token holds no token")
    return token


def _fill(text: str, values: dict[str, str]) -> str:
    """Put each value where its name stands; all of them must stand there."""
    for name, value in values.items():
        if name not in text:
            raise AgentFilesMissing(f"the installer has no place for {name.strip()}")
        text = text.replace(name, value, 1)
    return text
