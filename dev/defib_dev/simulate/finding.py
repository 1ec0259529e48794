"""Finds and reads the scenarios that were asked for: files, and folders with files in them."""

from collections.abc import Iterable
from pathlib import Path

from defib_dev.simulate.parse import read_scenario
from defib_dev.simulate.reading import NotAScenario
from defib_dev.simulate.scenario import Scenario

SUFFIXES = (".yaml", ".yml")


class Unreadable(Exception):
    """Some of what was asked for is no scenario. `complaints` has a line for each."""

    def __init__(self, complaints: list[str]) -> None:
        super().__init__("\n".join(complaints))
        self.complaints = complaints


def find_scenarios(asked: Iterable[Path]) -> list[tuple[Path, Scenario]]:
    """Read every scenario asked for; raises Unreadable if a single one cannot be."""
    found: list[tuple[Path, Scenario]] = []
    complaints: list[str] = []
    for path in asked:
        files = _files(path)
        if not files:
            complaints.append(f"{path}: there is no scenario here (*.yaml)")
        for file in files:
            try:
                found.append((file, read_scenario(file)))
            except NotAScenario as error:
                complaints.append(complaint(file, error))
    if complaints:
        raise Unreadable(complaints)
    return found


def complaint(file: Path, error: NotAScenario) -> str:
    """Say what is wrong with a file, and where."""
    return f"{file}:{error.line}: {error.reason}"


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES and file.is_file())
