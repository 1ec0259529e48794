"""Reads the project's Markdown: pages, headings, links, tables, code. Judges nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("docs", "agents", "api", "core", "crds", "dev", "frontend", "helm", "operator", "tests")
FOREIGN = {"node_modules", "dist", "build"}

FENCE = re.compile(r"^ *(```|~~~)")
CODE_SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *$")


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file."""

    path: Path
    text: str

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def prose(self) -> list[str]:
        """The lines outside of fenced code."""
        return [line for line, fenced in _fenced(self.text) if not fenced]

    @property
    def code(self) -> list[str]:
        """Lines of fenced code, and code spans."""
        fenced = [line for line, inside in _fenced(self.text) if inside]
        return fenced + [one for line in self.prose for one in CODE_SPAN.findall(line)]

    @property
    def links(self) -> list[str]:
        return [one for line in self.prose for one in LINK.findall(CODE_SPAN.sub("x", line))]

    @property
    def anchors(self) -> set[str]:
        """What a link to a heading may say, as GitHub makes it."""
        found: dict[str, int] = {}
        anchors = set()
        for line in self.prose:
            if heading := HEADING.match(line):
                slug = _slug(heading[1])
                again = found.get(slug, 0)
                anchors.add(f"{slug}-{again}" if again else slug)
                found[slug] = again + 1
        return anchors

    def section(self, heading: str) -> "Page":
        """The part under a heading, up to the next one of its level or a higher one."""
        lines, level, fenced = [], 0, False
        for line in self.text.splitlines():
            fenced = fenced != bool(FENCE.match(line))
            marks = 0 if fenced else len(line) - len(line.lstrip("#"))
            if level and 0 < marks <= level:
                break
            if level:
                lines.append(line)
            elif marks and line.lstrip("# ").strip() == heading:
                level = marks
        assert level, f"{self.name} has no section {heading!r}"
        return Page(self.path, "\n".join(lines))

    @property
    def rows(self) -> list[list[str]]:
        """The rows of all tables, their heads as well, as cells without surrounding space."""
        tables = [line for line in self.prose if line.startswith("|")]
        cells = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in tables]
        return [row for row in cells if not all(set(cell) <= set("-: ") for cell in row)]

    @property
    def first_words(self) -> list[str]:
        """The code spans in the first cells of all rows."""
        return [word for row in self.rows for word in CODE_SPAN.findall(row[0])]


def page(name: str) -> Page:
    path = ROOT / name
    return Page(path, path.read_text(encoding="utf-8"))


@cache
def all_pages() -> tuple[Page, ...]:
    """Every Markdown file of the project."""
    found = [*ROOT.glob("*.md"), *(one for folder in FOLDERS for one in _under(ROOT / folder))]
    return tuple(Page(path, path.read_text(encoding="utf-8")) for path in sorted(found))


def _under(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*.md"):
        parts = path.relative_to(folder).parts
        if not any(part in FOREIGN or part.startswith(".") for part in parts):
            yield path


def _fenced(text: str) -> Iterator[tuple[str, bool]]:
    inside = False
    for line in text.splitlines():
        if FENCE.match(line):
            inside = not inside
        else:
            yield line, inside


def _slug(heading: str) -> str:
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
