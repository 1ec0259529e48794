"""What the doctor says: one line for each thing that was looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How it is."""

    OK = "ok"
    WARN = "warn"
    """It works, and somebody should look at it; or it could not be looked at from here."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice` says what to do; empty where it is well."""

    part: str
    check: str
    level: Level
    message: str
    advice: str = ""

    def as_json(self) -> dict[str, str]:
        """Write it for programs."""
        return {
            "part": self.part,
            "check": self.check,
            "level": self.level.value,
            "message": self.message,
            "advice": self.advice,
        }


@dataclass(frozen=True, slots=True)
class Part:
    """Makes the findings of one part."""

    name: str

    def ok(self, check: str, message: str) -> Finding:
        """It is well."""
        return Finding(self.name, check, Level.OK, message)

    def warn(self, check: str, message: str, advice: str) -> Finding:
        """Somebody should look at it."""
        return Finding(self.name, check, Level.WARN, message, advice)

    def fail(self, check: str, message: str, advice: str) -> Finding:
        """It is ill."""
        return Finding(self.name, check, Level.FAIL, message, advice)


def lines_of(findings: Sequence[Finding]) -> list[str]:
    """Write them for eyes: what to do stands below what is wrong."""
    part = max((len(one.part) for one in findings), default=0)
    check = max((len(one.check) for one in findings), default=0)
    lines = []
    for one in findings:
        head = f"{one.level.value:<4}  {one.part:<{part}}  {one.check:<{check}}  "
        lines.append(f"{head}{_in_one_line(one.message)}")
        if one.advice:
            lines.append(" " * (len(head) - 3) + f"-> {_in_one_line(one.advice)}")
    ill = sum(one.level is Level.FAIL for one in findings)
    doubtful = sum(one.level is Level.WARN for one in findings)
    return [*lines, "", f"{len(findings)} looked at, {ill} failed, {doubtful} to look at"]


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
