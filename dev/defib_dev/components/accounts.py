"""Under which account a part runs, and where its files may live.

PostgreSQL refuses to run as root. A root user's stack therefore runs it under an unprivileged
account, in a folder that account can reach. Nothing here changes the rights of a folder that
existed before: when the wished-for place is out of reach, another is taken.
"""

import hashlib
import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from defib_dev.components.errors import ComponentError, MissingComponentError

_CANDIDATES = ("postgres", "nobody")


class PopenAccount(TypedDict, total=False):
    """The arguments of `subprocess.Popen` that change the account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """A system account to run a program under."""

    name: str
    uid: int
    gid: int

    def popen_arguments(self) -> PopenAccount:
        """What `subprocess` needs to drop to this account, supplementary groups included."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def unprivileged() -> Account | None:
    """The account PostgreSQL is to run under; None means: as the current user."""
    if os.geteuid() != 0:
        return None
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise MissingComponentError(
        "an unprivileged account for PostgreSQL (it refuses to run as root)",
        looked_in=tuple(f"the account {name!r}" for name in _CANDIDATES),
        remedy="run as an ordinary user, or: useradd --system postgres",
    )


def can_reach(account: Account | None, path: Path) -> bool:
    """Whether the account can use what is at `path`: asked of the kernel, not of mode bits."""
    if account is None:
        return os.access(path, os.R_OK | os.X_OK)
    answer = subprocess.run(
        ["test", "-r", path, "-a", "-x", path],
        check=False,
        cwd="/",
        **account.popen_arguments(),
    )
    return answer.returncode == 0


def private_home(wished: Path, account: Account | None) -> Path:
    """A folder for the account alone: `wished`, or one under /var/tmp where that is out of reach.

    The same wish gives the same folder every time.
    """
    wished.parent.mkdir(parents=True, exist_ok=True)
    home = home_of(wished, account)
    home.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(home, account.uid, account.gid)
    return home


def home_of(wished: Path, account: Account | None) -> Path:
    """Where `private_home` puts it; nothing is made."""
    if account is None or can_reach(account, wished.parent):
        return wished
    key = hashlib.sha256(str(wished.resolve()).encode()).hexdigest()[:16]
    return fallback_root() / key


def fallback_root() -> Path:
    """Our own folder under /var/tmp, one per user; refused when somebody else made it."""
    root = Path("/var/tmp") / f"defib-{os.geteuid()}"  # noqa: S108 - owner is checked below
    root.mkdir(mode=0o711, exist_ok=True)
    facts = root.lstat()
    if root.is_symlink() or facts.st_uid != os.geteuid() or facts.st_mode & 0o022:
        raise ComponentError(f"{root} was made by somebody else; remove it and try again")
    return root
