"""The doctor as a program, and what it found by part and check."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Examined:
    """How it ended, and its findings."""

    code: int
    out: str
    err: str

    @property
    def findings(self) -> dict[tuple[str, str], str]:
        """Each check's level."""
        return {(one["part"], one["check"]): one["level"] for one in json.loads(self.out)}

    def not_ok(self) -> set[tuple[str, str]]:
        """What warns or fails."""
        return {found for found, level in self.findings.items() if level != "ok"}

    def text_of(self, part: str, check: str) -> str:
        """What is said of a check, every time it is named."""
        return "\n".join(
            f"{one['message']} -> {one['advice']}"
            for one in json.loads(self.out)
            if (one["part"], one["check"]) == (part, check)
        )


async def examined(*arguments: str, **settings: str) -> Examined:
    """Run `defib doctor` with these settings and no others of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DEFIB_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "defib_cli.main", "doctor", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**kept, "COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb", **settings},
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode is not None
    return Examined(process.returncode, out.decode(), err.decode())
