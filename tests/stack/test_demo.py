"""The demo as a newcomer meets it: the real program, and one VM that hangs and is healed."""

import json
import subprocess
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from defib_dev.components import control_plane
from defib_dev.components.kubectl import Kubectl
from defib_dev.components.processes import Ending
from defib_dev.stack import demo, describe
from defib_dev.stack import state as states
from defib_dev.stack.down import down
from defib_dev.stack.layout import StackFolder
from defib_dev.stack.progress import Board
from defib_dev.stack.up import Wish, up
from support.folders import server_folder
from support.ports import free_offset
from support.waiting import eventually

NEWCOMERS_PATIENCE_SECONDS = 180


class Demo:
    """A running stack with the demo."""

    def __init__(self, folder: StackFolder) -> None:
        self.folder = folder
        self.state = up(Wish(folder, free_offset()), Board(Console(file=StringIO())))
        self.view = describe.view(folder, self.state)
        self.kubectl = Kubectl(control_plane.require_kubectl(), Path(self.view["kubeconfig"]))

    def ask(self, path: str) -> Any:  # noqa: ANN401 - JSON
        header = {"Authorization": f"Bearer {self.view['admin_token']}"}
        with httpx.Client(base_url=self.view["api"], headers=header, trust_env=False) as client:
            return client.get(path).raise_for_status().json()

    def status(self) -> dict[str, Any]:
        """The hanging VM's status, as kubectl shows it."""
        name = ("get", "dvm", demo.STORY_HOSTNAME)
        text = self.kubectl.run(*name, "--namespace=defib", "--output=json")
        status = json.loads(text).get("status", {})
        assert isinstance(status, dict)
        return status


@pytest.fixture(scope="module")
def running() -> Iterator[Demo]:
    with server_folder("demo") as root:
        folder = StackFolder(root / "stack")
        try:
            yield Demo(folder)
        finally:
            board = Console(file=StringIO())
            down(folder, Board(board), purge=False)
            killed = [line for line in _text(board).splitlines() if Ending.KILLED in line]
            assert killed == [], "a program does not end when asked"
            left = states.load(folder.state)
            assert left is not None
            assert left.processes == ()


def _text(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.timeout(420)
def test_one_vm_hangs_by_itself_and_is_healed_while_a_newcomer_watches(running: Demo) -> None:
    seen: list[tuple[str, int]] = []

    def healed() -> bool:
        status = running.status()
        step = (str(status.get("health")), int(status.get("resetAttempts", 0)))
        if not seen or seen[-1] != step:
            seen.append(step)
            print(step)  # noqa: T201 - pytest shows it when this fails
        return ("down", 1) in seen and step == ("healthy", 1)

    eventually(
        healed,
        what=f"{demo.STORY_HOSTNAME} is healed",
        deadline_seconds=NEWCOMERS_PATIENCE_SECONDS,
    )
    assert ("healthy", 0) in seen
    assert seen.index(("healthy", 0)) < seen.index(("down", 1))
    assert running.status()["lastReset"]["outcome"] == "succeeded"

    vms = {vm["hostname"]: vm for vm in running.ask("/api/vms")}
    assert len(vms) == 12
    history = running.ask(f"/api/vms/{vms[demo.STORY_HOSTNAME]['id']}/reset-history")
    assert [reset["success"] for reset in history] == [True]
    untouched = [vm for vm in vms.values() if vm["hostname"] != demo.STORY_HOSTNAME]
    assert {vm["health"] for vm in untouched} == {"healthy", "warning"}


def test_what_up_suggests_can_be_pasted_as_it_is(running: Demo) -> None:
    suggested = describe.suggestions(running.folder, running.state)
    assert len(suggested) == 3
    for one in suggested:
        command = one.command.removesuffix(" --watch")
        answer = subprocess.run(
            ["sh", "-c", command], check=False, capture_output=True, text=True, cwd=Path.cwd()
        )
        assert answer.returncode == 0, answer.stderr
        assert answer.stdout
        assert '"error"' not in answer.stdout
