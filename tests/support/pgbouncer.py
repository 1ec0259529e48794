"""A real PgBouncer in front of a database, in the mode that is asked for."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from defib_dev.components import accounts, processes, readiness
from defib_dev.components.errors import MissingComponentError
from defib_dev.components.ports import LOOPBACK, free_port
from defib_dev.components.processes import ProcessSpec
from support.folders import server_folder

CONFIGURATION = """\
[databases]
* = host={host} port={database_port}
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = {mode}
max_client_conn = 300
default_pool_size = 100
"""
PLACES = ("/usr/sbin/pgbouncer", "/usr/bin/pgbouncer")


@contextmanager
def pgbouncer_before(database_url: str, mode: str) -> Iterator[str]:
    """The database's URL through a PgBouncer of its own; nothing but the mode is special."""
    parts, port = urlsplit(database_url), free_port()
    url = parts._replace(netloc=f"{parts.username}:{parts.password}@{LOOPBACK}:{port}").geturl()
    with server_folder("pgbouncer") as folder:
        account = accounts.unprivileged()
        users, configuration = folder / "users.txt", folder / "pgbouncer.ini"
        users.write_text(f'"{parts.username}" "{parts.password}"\n')
        text = CONFIGURATION.format(
            host=LOOPBACK, database_port=parts.port, port=port, users=users, mode=mode
        )
        configuration.write_text(text)
        for file in (folder, users, configuration):
            if account is not None:
                os.chown(file, account.uid, account.gid)
        spec = ProcessSpec(
            "pgbouncer", (_program(), str(configuration)), account=account, dies_with_parent=True
        )
        record = processes.start(spec, folder / "pgbouncer.log")
        try:
            readiness.wait_for_process(record, lambda: _missing(url), deadline_seconds=60)
            yield url
        finally:
            processes.stop(record)


def _missing(url: str) -> str | None:
    """What keeps it from answering; None when it answers a query."""
    try:
        with psycopg.connect(url, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        return str(error).strip()
    return None


def _program() -> str:
    found = shutil.which("pgbouncer") or next((one for one in PLACES if Path(one).exists()), None)
    if found is None:
        raise MissingComponentError(
            "PgBouncer", looked_in=("the PATH", *PLACES), remedy="apt-get install pgbouncer"
        )
    return found
