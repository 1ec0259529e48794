"""Show what is being done: live lines on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from defib_dev.components.cache import Report

_PLAIN_PAUSE_SECONDS = 15.0
_WORTH_SAYING_SECONDS = 0.1


class Board:
    """Steps that may run at the same time, from several threads. Used as a context manager."""

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TextColumn("[dim]{task.fields[note]}"),
            TimeElapsedColumn(),
        )
        live = console.is_terminal
        self._progress = Progress(*columns, console=console, transient=True, disable=not live)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def done(self, title: str, note: str = "") -> None:
        """A step that took no time."""
        self.console.print(f"[green]✓[/] {title} [dim]{note}", highlight=False)

    def warn(self, line: str) -> None:
        """Something to know about, though it went on."""
        self.console.print(f"[yellow]![/] {line}", highlight=False, soft_wrap=True)

    def say_once(self) -> Report:
        """A report that shows each line when it first comes, not each time."""
        said: set[str] = set()

        def report(line: str) -> None:
            if line not in said:
                said.add(line)
                self.console.print(line, style="dim", highlight=False, markup=False)

        return report

    @contextmanager
    def step(self, title: str) -> Iterator[Report]:
        """Something that takes a while; the report's line appears beside it."""
        started = time.monotonic()
        task = self._progress.add_task(title, total=None, note="")
        plain = _PlainLines(self.console, title)

        def report(line: str) -> None:
            self._progress.update(task, note=line)
            plain.show(line)

        try:
            yield report
        except BaseException:
            self.console.print(f"[red]✗[/] {title}", highlight=False)
            raise
        else:
            took = time.monotonic() - started
            self.done(title, f"({took:.1f} s)" if took >= _WORTH_SAYING_SECONDS else "")
        finally:
            self._progress.remove_task(task)


class _PlainLines:
    """Where there is no terminal: a line every now and then, so that a log shows life."""

    def __init__(self, console: Console, title: str) -> None:
        self._console = console
        self._title = title
        self._last = time.monotonic()

    def show(self, line: str) -> None:
        now = time.monotonic()
        if self._console.is_terminal or now - self._last < _PLAIN_PAUSE_SECONDS:
            return
        self._last = now
        self._console.print(f"  {self._title}: {line}", highlight=False, markup=False)
