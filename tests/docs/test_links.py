"""Links lead somewhere, and nothing leads to one particular machine."""

import re
from pathlib import Path

import pytest

from docs.pages import ROOT, Page, all_pages, page

ELSEWHERE = ("https://", "http://", "mailto:")
SOMEBODYS_MACHINE = re.compile(r"(?<![\w.~$}-])/(work|tmp|home|root|Users)/|\b[A-Z]:\\Users\\")

pages = pytest.mark.parametrize("one", all_pages(), ids=lambda one: one.name)


def test_the_pages_are_found() -> None:
    names = {one.name for one in all_pages()}
    assert {"README.md", "docs/safety.md", "docs/decisions/README.md"} <= names


@pages
def test_relative_links_lead_to_a_file(one: Page) -> None:
    missing = [link for link in _relative(one) if not _target(one, link).exists()]
    assert missing == []


@pages
def test_links_into_pages_lead_to_a_heading(one: Page) -> None:
    assert [link for link in _relative(one) if not _heading_exists(one, link)] == []


@pages
def test_no_link_leaves_the_repository(one: Page) -> None:
    outside = [link for link in _relative(one) if not _target(one, link).is_relative_to(ROOT)]
    assert outside == []


@pages
def test_no_path_is_that_of_one_machine(one: Page) -> None:
    lines = one.text.splitlines()
    assert [line for line in lines if SOMEBODYS_MACHINE.search(line)] == []


def test_each_decision_is_in_the_list_of_decisions() -> None:
    listed = set(_relative(page("docs/decisions/README.md")))
    files = {path.name for path in (ROOT / "docs/decisions").glob("0*.md")}
    assert files
    assert listed == files


def _relative(one: Page) -> list[str]:
    return [link for link in one.links if not link.startswith(ELSEWHERE)]


def _target(one: Page, link: str) -> Path:
    path = link.partition("#")[0]
    return (one.path.parent / path).resolve() if path else one.path


def _heading_exists(one: Page, link: str) -> bool:
    anchor = link.partition("#")[2]
    target = _target(one, link)
    if not anchor or target.suffix != ".md" or not target.exists():
        return True
    return anchor in page(str(target.relative_to(ROOT))).anchors
