"""Generated secrets in files that only the user can read, made once and kept."""

import os
import secrets
from pathlib import Path


def ensure(path: Path) -> str:
    """The secret in the file; made of 32 random bytes when there is none yet."""
    if not path.exists():
        write(path, secrets.token_urlsafe(32))
    return path.read_text().strip()


def write(path: Path, text: str) -> None:
    """Write the file, whole or not at all, readable by the user alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
    temporary.replace(path)
