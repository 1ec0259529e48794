"""Stands in for `defib` where a test is about the stack's mechanics and not about Defib.

Answers each command the stack gives in the least way that satisfies the stack: `db upgrade` makes
a table, `api serve`, `operator run` and `dev proxmox-sim` answer everything with one VM.
"""

import os
import secrets
import signal
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"vms": {"total": 1}}')


def serve(port: int, context: ssl.SSLContext | None = None) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", port), Answer)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def simulate(options: dict[str, str]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options["--cert"], options["--key"])
    serve(int(options["--port"]), context)
    serve(int(options["--control-port"]))


def run(arguments: list[str]) -> None:
    if os.environ.get("STAND_IN_DIES_AT") == " ".join(arguments[:2]):
        sys.exit("no such setting")
    options = dict(zip(arguments[2::2], arguments[3::2], strict=True))
    match arguments[:2]:
        case ["db", "upgrade"]:
            url = Path(os.environ["DEFIB_DATABASE_URL_FILE"]).read_text()
            with psycopg.connect(url) as connection:
                connection.execute("create table if not exists migrated ()")
            return
        case ["token", "create"]:
            sys.stdout.write(f"{options['--kind']}-{secrets.token_hex(8)}")
            return
        case ["api", "serve"]:
            serve(int(os.environ["DEFIB_API_PORT"]))
        case ["operator", "run"]:
            serve(int(os.environ["DEFIB_PROBE_PORT"]))
        case ["dev", "proxmox-sim"]:
            simulate(options)
        case ["dev", "fleet"] | ["dev", "story"]:
            pass
        case _:
            sys.exit(f"the stand-in knows no {arguments}")
    signal.pause()


run(sys.argv[1:])
