"""What can go wrong with a part, in words for the person at the keyboard.

Every message says what is wrong and what to do next. No secrets in them.
"""

from pathlib import Path


class ComponentError(Exception):
    """The family of everything the components raise on purpose."""


class MissingComponentError(ComponentError):
    """A part is not on this machine and could not be got."""

    def __init__(self, part: str, *, looked_in: tuple[str, ...], remedy: str) -> None:
        """`looked_in` names the places tried, in order; `remedy` is one command or one sentence."""
        places = "\n".join(f"  - {place}" for place in looked_in)
        super().__init__(f"{part} was not found. Looked in:\n{places}\nTo get it: {remedy}")
        self.part = part
        self.remedy = remedy


class PortInUseError(ComponentError):
    """Somebody else listens where a part must."""

    def __init__(self, port: int, *, needed_by: str, holder: str | None = None) -> None:
        """`holder` is the program that listens there, where the system tells."""
        by = f" by {holder}" if holder else ""
        super().__init__(
            f"port {port} is already in use{by}, and {needed_by} needs it. "
            f"Stop what listens there, or move the whole stack: --port-offset 100"
        )
        self.port = port
        self.needed_by = needed_by


class NotReadyError(ComponentError):
    """A started part died or did not become ready in time."""

    def __init__(self, name: str, problem: str, *, log: Path | None = None) -> None:
        """`problem` completes the sentence '<name> ...'; the log's last lines are appended."""
        message = f"{name} {problem}"
        if log is not None:
            message += f"\nLast lines of {log}:\n{log_tail(log)}"
        super().__init__(message)
        self.name = name


class BuildError(ComponentError):
    """A part could not be built from source."""


def log_tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented, or a remark that there is none."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "  (no log was written)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:]) or "  (the log is empty)"
