"""The commands that pages print are ones that the program has."""

import re

import pytest
import typer

from defib_cli.main import COMMANDS, GROUPS, build
from docs.pages import Page, all_pages

CALLED = re.compile(r"^(?:\$ )?(?:\w+=\S+ )*(?:\S*/)?defib ([a-z]+)(?: ([a-z][a-z-]+))?")


@pytest.mark.parametrize("one", all_pages(), ids=lambda one: one.name)
def test_each_command_of_defib_that_is_named_exists(one: Page) -> None:
    named = {found for line in one.code for found in CALLED.findall(line.strip())}
    assert [f"{group} {command}" for group, command in named if not _exists(group, command)] == []


def test_the_readme_names_commands() -> None:
    assert "defib operator run" in next(p.text for p in all_pages() if p.name == "README.md")


def _exists(group: str, command: str) -> bool:
    if group in COMMANDS:
        return True
    if group not in GROUPS:
        return False
    if not command:
        return True
    click_group = typer.main.get_command(build(group)).commands[group]  # type: ignore[attr-defined]
    return command in click_group.commands
