"""What a check comes to: each rule kept, broken or not seen, in lines for people."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What came of a rule."""

    KEPT = "kept"
    BROKEN = "BROKEN"
    NOT_SEEN = "not seen"


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule, and what was seen of it."""

    rule: str
    verdict: Verdict
    what: str = ""


def finding(rule: str, troubles: Sequence[str]) -> Finding:
    """Broken where there is trouble, and the first is told; else kept."""
    if not troubles:
        return Finding(rule, Verdict.KEPT)
    more = f" (and {len(troubles) - 1} more)" if len(troubles) > 1 else ""
    return Finding(rule, Verdict.BROKEN, troubles[0] + more)


def lines(findings: Iterable[Finding]) -> list[str]:
    """Write them, the worst visible at the left."""
    return [
        f"{one.verdict.value:8}  {one.rule}" + (f": {one.what}" if one.what else "")
        for one in findings
    ]


def are_kept(findings: Iterable[Finding]) -> bool:
    """True where no rule is broken and none was not seen."""
    return all(one.verdict is Verdict.KEPT for one in findings)
