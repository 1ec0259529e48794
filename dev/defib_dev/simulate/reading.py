"""Reads YAML so that every complaint can name its line. Knows nothing of scenarios."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import yaml

from defib_dev.simulate.moments import NoMoment, Window, parse_moment, parse_window

Read = TypeVar("Read")
QUICK_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class NotAScenario(Exception):
    """The file is no scenario: at which line (the first is 1), and what is wrong there."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line = line
        self.reason = reason


def read_yaml(text: str) -> "Value":
    """Parse a text; raises NotAScenario."""
    try:
        node = _composed(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 1 if mark is None else mark.line + 1
        problem = getattr(error, "problem", None) or str(error)
        raise NotAScenario(line, f"this is not YAML: {problem}") from error
    if node is None:
        raise NotAScenario(1, "the file is empty")
    return Value(node)


def _composed(text: str) -> yaml.Node | None:
    """Compose; by libyaml where that is there, several times as fast, unless there is an error."""
    try:
        return yaml.compose(text, Loader=QUICK_LOADER)
    except yaml.YAMLError:
        return yaml.compose(text, Loader=yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Value:
    """A value and where it stands. Every method raises NotAScenario for what it cannot be."""

    node: yaml.Node

    @property
    def line(self) -> int:
        """The line it begins in."""
        return int(self.node.start_mark.line) + 1

    def fail(self, reason: str) -> NoReturn:
        """Refuse it."""
        raise NotAScenario(self.line, reason)

    def plain(self) -> Any:  # noqa: ANN401 - whatever YAML holds
        """Give it as Python values."""
        try:
            return yaml.constructor.SafeConstructor().construct_object(self.node, deep=True)
        except yaml.YAMLError as error:
            self.fail(f"cannot be read: {getattr(error, 'problem', error)}")

    def fields(self, required: Iterable[str] = (), optional: Iterable[str] = ()) -> "Fields":
        """Give a mapping's values; unknown and missing keys are errors."""
        required = tuple(required)
        allowed = (*required, *optional)
        found: Fields = {}
        for key, value in self._pairs():
            name = key.text()
            if name not in allowed:
                key.fail(f"unknown key {name!r}; known here: {', '.join(allowed)}")
            if name in found:
                key.fail(f"{name!r} is given twice")
            found[name] = value
        missing = [name for name in required if name not in found]
        if missing:
            self.fail(f"missing: {', '.join(missing)}")
        return found

    def entries(self) -> list[tuple["Value", "Value"]]:
        """Give a mapping whose keys are names of somebody's choice."""
        pairs = self._pairs()
        names = [key.text() for key, _ in pairs]
        for number, (key, _) in enumerate(pairs):
            if names[number] in names[:number]:
                key.fail(f"{names[number]!r} is given twice")
        return pairs

    def items(self) -> list["Value"]:
        """Give a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            self.fail(f"expected a list, not {self._shown()}")
        return [Value(node) for node in self.node.value]

    def is_list(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.node, yaml.SequenceNode)

    def text(self) -> str:
        """Give a text that is not empty."""
        return self._of(str, "a text", lambda text: bool(text.strip()))

    def truth(self) -> bool:
        """Give true or false."""
        return self._of(bool, "true or false")

    def integer(self, least: int = 0) -> int:
        """Give a whole number."""
        return self._of(int, f"a whole number from {least} on", lambda number: number >= least)

    def percent(self) -> float:
        """Give a number from 0 to 100."""
        found = self.plain()
        if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 100:  # noqa: PLR2004 - percent
            self.fail(f"expected percent from 0 to 100, not {self._shown()}")
        return float(found)

    def positive(self) -> float:
        """Give a number above zero."""
        found = self.plain()
        if isinstance(found, bool) or not isinstance(found, int | float) or found <= 0:
            self.fail(f"expected a number above 0, not {self._shown()}")
        return float(found)

    def word(self, *allowed: str) -> str:
        """Give one of these words."""
        found = self.plain()
        if found not in allowed or not isinstance(found, str):
            self.fail(f"expected one of {', '.join(allowed)}, not {self._shown()}")
        return found

    def moment(self) -> float:
        """Give a time; 0 may be written without a unit."""
        return self._by(parse_moment)

    def signed_moment(self) -> float:
        """Give a length of time that may be negative."""
        found = self.plain()
        if isinstance(found, str) and found.startswith("-"):
            return -self._by(lambda text: parse_moment(text.removeprefix("-")))
        return self.moment()

    def window(self) -> Window:
        """Give a window."""
        return self._by(parse_window)

    def _by(self, parse: Callable[[str], Read]) -> Read:
        found = self.plain()
        text = "0s" if found == 0 and isinstance(found, int) else found
        try:
            return parse(text if isinstance(text, str) else repr(found))
        except NoMoment as error:
            self.fail(str(error))

    def _of(
        self, kind: type[Read], wanted: str, fits: Callable[[Read], bool] = lambda _: True
    ) -> Read:
        found = self.plain()
        is_number_by_accident = kind is int and isinstance(found, bool)
        if not isinstance(found, kind) or is_number_by_accident or not fits(found):
            self.fail(f"expected {wanted}, not {self._shown()}")
        return found

    def _pairs(self) -> list[tuple["Value", "Value"]]:
        if not isinstance(self.node, yaml.MappingNode):
            self.fail(f"expected keys and values, not {self._shown()}")
        return [(Value(key), Value(value)) for key, value in self.node.value]

    def _shown(self) -> str:
        return f"{self.plain()!r:.60}"


Fields = dict[str, Value]
