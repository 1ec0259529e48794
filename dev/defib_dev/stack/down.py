"""`defib dev down`: stop exactly what `up` started, the last first, and leave no process."""

import shutil

from defib_dev.components import accounts, cache
from defib_dev.components.processes import Ending, is_running
from defib_dev.stack import state as states
from defib_dev.stack.layout import StackFolder
from defib_dev.stack.progress import Board
from defib_dev.stack.runner import Runner


def down(folder: StackFolder, board: Board, *, purge: bool) -> bool:
    """Stop the stack; true when something ran. `purge` removes its data and secrets as well."""
    if (state := states.load(folder.state)) is None:
        return False
    with cache.exclusive(folder.lock, report=board.say_once(), cancelled=lambda: False):
        runner = Runner(folder, states.load(folder.state) or state)
        running = [record for record in runner.state.processes if is_running(record)]
        for record in reversed(running):
            _stop(runner, board, record.name)
        runner.keep_only(set())
        if purge:
            _purge(folder)
    return bool(running)


def _stop(runner: Runner, board: Board, name: str) -> None:
    with board.step(f"stop {name}"):
        ending = runner.stop(name)
    if ending is Ending.KILLED:
        board.warn(f"{name} {ending}; its last words are in {runner.log(name)}")


def _purge(folder: StackFolder) -> None:
    """PostgreSQL's data may lie elsewhere when its account could not reach the folder."""
    elsewhere = accounts.home_of(folder.postgres, accounts.unprivileged())
    shutil.rmtree(elsewhere, ignore_errors=True)
    folder.remove()
