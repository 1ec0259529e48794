"""What a stack remembers between commands: its ports, and the processes it started."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from defib_dev.components import secrets_files
from defib_dev.components.errors import ComponentError
from defib_dev.components.processes import ProcessRecord

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class StackState:
    """Processes in the order they were started."""

    port_offset: int = 0
    demo: bool = True
    processes: tuple[ProcessRecord, ...] = ()

    def record(self, name: str) -> ProcessRecord | None:
        """The process of that name, running or not."""
        return next((record for record in self.processes if record.name == name), None)

    def with_process(self, record: ProcessRecord) -> "StackState":
        """This state with the process added, in place of one of the same name."""
        return replace(self, processes=(*self.without(record.name).processes, record))

    def without(self, name: str) -> "StackState":
        """This state without the process of that name."""
        kept = tuple(record for record in self.processes if record.name != name)
        return replace(self, processes=kept)


def load(path: Path) -> StackState | None:
    """The state in the file; None when there never was a stack here."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    try:
        return _parse(json.loads(text))
    except (ValueError, KeyError, TypeError) as error:
        raise ComponentError(
            f"{path} cannot be read ({error!r}). If no process of this stack runs any more, remove "
            f"the file and try again"
        ) from error


def save(path: Path, state: StackState) -> None:
    """Write the state, whole or not at all."""
    document = {"format": _FORMAT, **asdict(state)}
    secrets_files.write(path, json.dumps(document, indent=2) + "\n")


def _parse(document: dict[str, object]) -> StackState:
    if document.pop("format") != _FORMAT:
        raise ValueError("written by another version of Defib")
    processes = document.pop("processes")
    if not isinstance(processes, list):
        raise TypeError("processes is no list")
    records = tuple(
        ProcessRecord(**{**record, "argv": tuple(record["argv"])}) for record in processes
    )
    return StackState(processes=records, **document)  # type: ignore[arg-type] # checked by use
