"""The page on security names a test for each threat, and each of them exists."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_each_threat_names_a_test() -> None:
    table = PAGE.split("## Threats and their tests")[1].split("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) > 20
    assert [row for row in rows if not NAMED.search(row)] == []


def test_each_test_that_is_named_exists() -> None:
    missing = []
    for path, name in NAMED.findall(PAGE):
        file = ROOT / path
        known = _tests_of(file) if file.is_file() else set()
        if not known or (name and name not in known):
            missing.append(f"{path}::{name}")
    assert missing == []


def _tests_of(file: Path) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = ast.walk(ast.parse(file.read_text()))
    return {one.name for one in found if isinstance(one, kinds) and one.name.startswith("test_")}
