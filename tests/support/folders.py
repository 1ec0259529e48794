"""Folders for servers that a test session starts."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def server_folder(name: str) -> Iterator[Path]:
    """A folder that other accounts can pass through: PostgreSQL does not run as root.

    pytest's own folders are closed to others.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"defib-test-{name}-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
