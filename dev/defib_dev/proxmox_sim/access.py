"""Users, tokens and rights, as Proxmox works them out. Pure.

A token with privilege separation (the default) may do what both its own and its owner's entries
allow. A role on a deeper path replaces what is inherited.
"""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

ALL_PRIVILEGES = frozenset(
    {
        "Sys.Audit",
        "VM.Audit",
        "VM.GuestAgent.Audit",
        "VM.PowerMgmt",
    }
)
"""Those that the simulated calls ask for."""
ROOT = "root@pam"


@dataclass(frozen=True, slots=True)
class Token:
    """An API token; `token_id` is `user@realm!name`."""

    token_id: str
    secret: str = field(repr=False)
    privilege_separation: bool = True
    expired: bool = False

    @property
    def owner(self) -> str:
        """`user@realm`."""
        return self.token_id.partition("!")[0]


@dataclass(frozen=True, slots=True)
class Entry:
    """An access control entry. `who` is a user or a token's id."""

    path: str
    who: str
    privileges: frozenset[str]
    propagates: bool = True


class AccessControl:
    """Who may do what."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._entries: list[Entry] = []
        self.revoked_all = False
        """True: nobody holds any right, as if every entry were gone."""

    def add_token(self, token: Token) -> None:
        """Create a token, or replace the one of the same id."""
        self._tokens[token.token_id] = token

    def grant(
        self, path: str, who: str, privileges: Iterable[str], *, propagates: bool = True
    ) -> None:
        """Add an entry, or replace the one for the same path and holder."""
        self._entries = [one for one in self._entries if (one.path, one.who) != (path, who)]
        self._entries.append(Entry(path, who, frozenset(privileges), propagates))

    def revoke(self, who: str) -> None:
        """Take away all entries of a user or token."""
        self._entries = [one for one in self._entries if one.who != who]

    def authenticate(self, authorization: str | None) -> Token | None:
        """Find the token of an Authorization header; None: unknown, wrong or expired."""
        scheme, _, rest = (authorization or "").partition("=")
        token_id, _, secret = rest.partition("=")
        token = self._tokens.get(token_id) if scheme == "PVEAPIToken" else None
        if token is None or token.expired:
            return None
        matches = hmac.compare_digest(token.secret.encode(), secret.encode())
        return token if matches else None

    def privileges(self, token: Token, path: str) -> Mapping[str, bool]:
        """Work out what a token may do on a path, and whether each right is inherited below."""
        if self.revoked_all:
            return {}
        owners = self._of(token.owner, path)
        if not token.privilege_separation:
            return owners
        own = self._of(token.token_id, path)
        return {name: own[name] and owners[name] for name in own if name in owners}

    def allows(self, token: Token, path: str, privileges: frozenset[str]) -> bool:
        """Say whether a token holds any of these on a path."""
        return not privileges.isdisjoint(self.privileges(token, path))

    def listing(self, token: Token) -> dict[str, dict[str, int]]:
        """Answer /access/permissions: the fixed paths and those with entries, if any right is."""
        paths = {"/", "/access", "/nodes", "/pool", "/storage", "/vms"}
        paths |= {one.path for one in self._entries}
        held = {path: self.privileges(token, path) for path in sorted(paths)}
        return {
            path: {name: int(propagates) for name, propagates in sorted(rights.items())}
            for path, rights in held.items()
            if rights
        }

    def _of(self, who: str, path: str) -> Mapping[str, bool]:
        if who == ROOT:
            return dict.fromkeys(ALL_PRIVILEGES, True)
        held: Mapping[str, bool] = {}
        for step in _steps(path):
            entry = next((e for e in self._entries if (e.path, e.who) == (step, who)), None)
            if entry is not None and (step == path or entry.propagates):
                held = dict.fromkeys(entry.privileges, entry.propagates)
        return held


def _steps(path: str) -> list[str]:
    """`/vms/100` is reached over `/` and `/vms`."""
    parts = [part for part in path.split("/") if part]
    return ["/", *("/" + "/".join(parts[: n + 1]) for n in range(len(parts)))]
