"""The source tree itself: what its folders may not hide, and who may import whom."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE_ROOTS = ("core", "operator", "api", "dev")
PACKAGES = sorted(
    path
    for source in SOURCE_ROOTS
    for path in (ROOT / source).glob("*/__init__.py")
    if path.parent.name.startswith("defib_")
)
MODULES = sorted(path for package in PACKAGES for path in package.parent.rglob("*.py"))
FORBIDDEN_WORDS = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
MOST_LINES = 600


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


# the folder operator/ and the standard library's module of that name


def test_in_the_root_operator_is_the_standard_librarys() -> None:
    ran = run(sys.executable, "-c", "import operator; print(operator.__file__, operator.add(1, 1))")
    assert ran.returncode == 0, ran.stderr
    file, total = ran.stdout.split()
    assert Path(file).is_relative_to(sys.base_prefix)
    assert total == "2"


def test_the_root_first_on_the_path_hides_nothing() -> None:
    program = f"""
import sys
sys.modules.pop("operator", None)
sys.path.insert(0, {str(ROOT)!r})
import operator
print(operator.__file__)
print(operator.itemgetter(1)("ab"))
"""
    ran = run(sys.executable, "-c", program)
    assert ran.returncode == 0, ran.stderr
    file, letter = ran.stdout.split()
    assert not Path(file).is_relative_to(ROOT / "operator")
    assert letter == "b"


@pytest.mark.parametrize("source", SOURCE_ROOTS)
def test_a_source_root_is_no_package(source: str) -> None:
    assert not (ROOT / source / "__init__.py").exists()


def test_the_tests_are_no_packages() -> None:
    assert list((ROOT / "tests").rglob("__init__.py")) == []


# names


def test_the_packages_are_where_they_are_looked_for() -> None:
    assert [path.parent.relative_to(ROOT).as_posix() for path in PACKAGES] == [
        "api/defib_api",
        "core/defib_core",
        "dev/defib_cli",
        "dev/defib_dev",
        "operator/defib_operator",
    ]


def test_nothing_is_named_like_a_module_of_the_standard_library() -> None:
    names = {path.stem for path in MODULES} | {path.parent.name for path in MODULES}
    assert names & sys.stdlib_module_names - {"__init__", "__main__"} == set()


def test_nothing_is_named_after_no_responsibility() -> None:
    names = {path.stem for path in MODULES} | {path.parent.name for path in MODULES}
    assert names & FORBIDDEN_WORDS == set()


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        path.relative_to(ROOT).as_posix()
        for path in MODULES
        if not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert silent == []


def test_no_module_is_longer_than_one_can_hold_in_mind() -> None:
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in MODULES
    }
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


# imports


def test_the_contracts_between_the_packages_are_kept() -> None:
    ran = run(
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as lint; lint(['--no-cache'])",
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 broken" in ran.stdout


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            assert node.level == 0, f"{path}: a relative import"
            found.add(node.module.split(".")[0])
    return found


def test_the_domain_imports_the_standard_library_and_itself() -> None:
    for path in (ROOT / "core" / "defib_core" / "domain").glob("*.py"):
        outside = imports_of(path) - sys.stdlib_module_names - {"defib_core"}
        assert outside == set(), path


@pytest.mark.parametrize(
    ("library", "owners"),
    [
        ("proxmoxer", {"operator/defib_operator/proxmox"}),
        ("kubernetes", {"operator/defib_operator", "dev/defib_dev"}),
        ("kopf", {"operator/defib_operator"}),
        ("fastapi", {"api/defib_api", "dev/defib_dev/bench/reference"}),
        (
            "sqlalchemy",
            {"core/defib_core/store", "operator/defib_operator", "api/defib_api", "dev/defib_dev"},
        ),
    ],
)
def test_a_library_is_imported_by_its_own_adapters_alone(library: str, owners: set[str]) -> None:
    users = {path.relative_to(ROOT).as_posix() for path in MODULES if library in imports_of(path)}
    strangers = {user for user in users if not any(user.startswith(owner) for owner in owners)}
    assert strangers == set()
    assert users
