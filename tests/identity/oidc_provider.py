"""The provider of `oidc/provider.mjs` as a process, and a browser that walks through it."""

import json
import re
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from joserfc.jwk import RSAKey

from defib_dev.components import cache, node, processes
from defib_dev.components.ports import free_port
from support.waiting import eventually_async

FOLDER = Path(__file__).parent / "oidc"
CLIENT, SECRET = "defib", "only-for-tests"
PEOPLE: Mapping[str, Mapping[str, Any]] = {
    "anna": {"preferred_username": "anna.a", "groups": ["admins"], "email_verified": True},
    "otto": {"preferred_username": "otto.o", "groups": ["on-call", "others"]},
    "vera": {"preferred_username": "vera.v", "groups": "lookers"},
    "nils": {"preferred_username": "nils.n", "groups": ["strangers"]},
    "bare": {},
}
ROLES = "administrator=admins; operator=on-call; viewer=lookers"


def new_keys(kid: str) -> dict[str, Any]:
    """A key pair for signatures."""
    key = RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"})
    return {"keys": [key.as_dict(private=True)]}


@dataclass(slots=True)
class OidcProvider:
    """A provider that can be started again with other keys, secrets and people."""

    folder: Path
    callback: str
    port: int = field(default_factory=free_port)
    keys: dict[str, Any] = field(default_factory=lambda: new_keys("first"))
    secret: str = SECRET
    record: processes.ProcessRecord | None = None

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and wait until it describes itself."""
        configuration = self.folder / "provider.json"
        client = {
            "client_id": CLIENT,
            "client_secret": self.secret,
            "redirect_uris": [self.callback],
        }
        said = {
            "issuer": self.issuer,
            "port": self.port,
            "clients": [client],
            "accounts": PEOPLE,
            "jwks": self.keys,
        }
        configuration.write_text(json.dumps(said))
        program = node.find().program
        argv = (str(program), str(FOLDER / "provider.mjs"), str(configuration))
        spec = processes.ProcessSpec("oidc-provider", argv, dies_with_parent=True)
        self.record = processes.start(spec, self.folder / "provider.log")
        async with httpx.AsyncClient() as http:

            async def answers() -> bool:
                try:
                    url = f"{self.issuer}/.well-known/openid-configuration"
                    return (await http.get(url)).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually_async(answers, what="the provider answers", deadline_seconds=60)

    def stop(self) -> None:
        """Stop it."""
        if self.record is not None:
            processes.stop(self.record)
            self.record = None

    async def restart(self) -> None:
        """Start it anew with what was changed."""
        self.stop()
        await self.start()


@asynccontextmanager
async def oidc_provider(folder: Path, callback: str) -> AsyncIterator[OidcProvider]:
    """A running provider that sends browsers back to `callback`."""
    install()
    provider = OidcProvider(folder, callback)
    try:
        await provider.start()
        yield provider
    finally:
        provider.stop()


@dataclass(slots=True)
class Browser:
    """Follows redirects, keeps cookies and fills in the provider's forms."""

    http: httpx.AsyncClient
    origin: str

    async def begin(self, next_path: str = "/vm/vm_1") -> httpx.Response:
        """Press the button."""
        return await self.http.get(
            f"{self.origin}/api/oidc/login", params={"next": next_path}, follow_redirects=False
        )

    async def to_callback(self, login: str, next_path: str = "/vm/vm_1") -> str:
        """Sign in at the provider; return the address to which it sends the browser back."""
        answer = await self.begin(next_path)
        assert answer.status_code == 303, answer.text
        for _ in range(12):
            if answer.status_code in {302, 303}:
                there = str(answer.url.join(answer.headers["location"]))
                if there.startswith(f"{self.origin}/api/oidc/callback"):
                    return there
                answer = await self.http.get(there, follow_redirects=False)
            else:
                assert answer.status_code == 200, answer.text
                answer = await self._fill_in(answer, login)
        raise AssertionError(f"the provider does not come to an end: {answer.url}")

    async def sign_in(self, login: str, next_path: str = "/vm/vm_1") -> httpx.Response:
        """Sign in; return what the callback answers."""
        return await self.come_back(await self.to_callback(login, next_path))

    async def come_back(self, address: str) -> httpx.Response:
        """Open the callback."""
        return await self.http.get(address, headers={"Accept": "text/html"}, follow_redirects=False)

    async def me(self) -> httpx.Response:
        """Ask who is signed in."""
        return await self.http.get(f"{self.origin}/api/me")

    async def _fill_in(self, page: httpx.Response, login: str) -> httpx.Response:
        (action,) = re.findall(r'<form[^>]* action="([^"]+)"', page.text)
        (prompt,) = re.findall(r'name="prompt" value="(\w+)"', page.text)
        fields = {"prompt": prompt, "login": login, "password": "x"}
        return await self.http.post(action, data=fields, follow_redirects=False)


@asynccontextmanager
async def browser(origin: str) -> AsyncIterator[Browser]:
    """A browser without cookies."""
    async with httpx.AsyncClient(timeout=30) as http:
        yield Browser(http, origin)


def install() -> None:
    """Have the locked packages, once for each lock."""
    modules, lock = FOLDER / "node_modules", FOLDER / "package-lock.json"
    stamp = modules / ".defib-installed"
    found = node.find()
    wanted = f"{found.version} {lock.read_text()}"
    lock_file = FOLDER / ".cache" / "lock"
    with cache.exclusive(lock_file, report=lambda _: None, cancelled=lambda: False):
        if stamp.exists() and stamp.read_text() == wanted:
            return
        command = found.npm_command("ci", "--no-audit", "--no-fund", "--loglevel=error")
        answer = subprocess.run(
            command,
            check=False,
            cwd=FOLDER,
            env=found.environment(),
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr
        stamp.write_text(wanted)
