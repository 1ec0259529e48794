"""Serves a reference application as the API serves Defib: uvloop, httptools, one process.

python -m defib_dev.bench.reference bare PORT
python -m defib_dev.bench.reference naive PORT FILE-WITH-DATABASE-URL FILE-WITH-KEY
"""

import sys
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from defib_dev.bench.reference.bare import bare
from defib_dev.bench.reference.naive import make_naive
from defib_dev.components.ports import LOOPBACK

BACKLOG = 4096


def application(name: str, *files: str) -> ASGIApp:
    """Make the application of that name."""
    if name == "bare":
        return bare
    url, key = (Path(file).read_text().strip() for file in files)
    return make_naive(url, key)


def main() -> None:
    """Run until SIGTERM."""
    name, port, *files = sys.argv[1:]
    uvicorn.run(
        application(name, *files),
        host=LOOPBACK,
        port=int(port),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
    )


main()
