"""The program `defib` as a person runs it, against the API of a test."""

import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from support.running_api import RunningApi


@dataclass(frozen=True, slots=True)
class Ran:
    """How it ended, and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Program:
    """`defib` with an environment that names the API and a token's file."""

    environment: dict[str, str]

    async def __call__(self, *arguments: str, **changes: str | None) -> Ran:
        """Run it; `changes` are variables, None takes one away."""
        wanted = {**self.environment, **changes}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "defib_cli.main", *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={name: value for name, value in wanted.items() if value is not None},
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())


def program_for(api: RunningApi, folder: Path) -> Program:
    """The program of somebody whose token is the administrator's."""
    token = folder / "token"
    token.write_text(api.admin_token + "\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEFIB_")}
    return Program(
        {
            **kept,
            "DEFIB_API_URL": f"http://127.0.0.1:{api.port}",
            "DEFIB_TOKEN_FILE": str(token),
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "TERM": "dumb",
        }
    )
