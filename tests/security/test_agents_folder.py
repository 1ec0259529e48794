"""Root leads the agent's account nowhere: what root writes stands in folders that are root's."""

import re
from pathlib import Path

import pytest

AGENTS = Path(__file__).parents[2] / "agents" / "linux"
BY_ROOT = re.compile(r"\binstall -m.*(?:\$state|/run/defib-agent)/")


@pytest.mark.parametrize("name", ["install.sh", "defib-agent.service"])
def test_root_writes_nothing_into_the_folder_of_the_agent(name: str) -> None:
    """Whoever breaks into the agent could put a link there, and have a file of his own anywhere."""
    text = (AGENTS / name).read_text()
    assert "smbios-uuid" in text
    assert BY_ROOT.findall(text) == []
