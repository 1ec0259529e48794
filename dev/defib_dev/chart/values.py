"""Reads the chart's values.yaml with its comments: one `Value` for each that is explained.

Understands what the file uses and refuses the rest: block style, two spaces, `# --` above each
value, `# @schema {...}` to narrow it. A key without a comment is a section of others.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z][A-Za-z0-9]*):(?P<rest> .*)?$")
_TELLS, _NARROWS = "# -- ", "# @schema "
_STEP = 2


class ValuesError(Exception):
    """The file is not written as this reader expects; the text names the line."""


@dataclass(frozen=True, slots=True)
class Value:
    """One value that a user may set. `path` is its keys, from the root."""

    path: tuple[str, ...]
    description: str
    default: Any
    narrowed: dict[str, Any]

    @property
    def name(self) -> str:
        """As `--set` takes it."""
        return ".".join(self.path)


def read(file: Path) -> list[Value]:
    """Read all values, in the file's order."""
    text = file.read_text()
    defaults = yaml.safe_load(text)
    return [
        Value(path, description, _at(defaults, path), narrowed)
        for path, description, narrowed in _explained(text)
    ]


def _explained(text: str) -> Iterator[tuple[tuple[str, ...], str, dict[str, Any]]]:
    path: list[str] = []
    description, narrowed = "", "{}"
    inside: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.strip()
        if content.startswith(_TELLS):
            description = content.removeprefix(_TELLS)
        elif content.startswith(_NARROWS):
            narrowed = content.removeprefix(_NARROWS)
        elif content and not content.startswith("#"):
            depth = (len(line) - len(line.lstrip())) // _STEP
            if inside is not None and depth > inside:
                continue  # a part of the value that was explained above it
            path, inside = [*path[:depth], _key(line, number)], None
            if description:
                yield tuple(path), description, _flow(narrowed, number)
                inside = depth
            elif line.split(":", 1)[1].strip():
                raise ValuesError(f"line {number}: {'.'.join(path)} has no `{_TELLS}` above it")
            description, narrowed = "", "{}"


def _key(line: str, number: int) -> str:
    found = _KEY.match(line)
    if found is None:
        raise ValuesError(f"line {number}: neither a key nor a comment: {line}")
    return found["key"]


def _flow(text: str, number: int) -> dict[str, Any]:
    try:
        read_back = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValuesError(f"line {number}: {text} is no mapping: {error}") from error
    if not isinstance(read_back, dict):
        raise ValuesError(f"line {number}: {text} is no mapping")
    return read_back


def _at(values: Any, path: tuple[str, ...]) -> Any:  # noqa: ANN401 - any YAML
    for key in path:
        values = values[key]
    return values
