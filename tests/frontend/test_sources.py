"""The dashboard's sources: formatted, typed by the API's description, tested, and small."""

import gzip
import json
import re
from pathlib import Path

from defib_dev.components import node
from defib_dev.components.dashboard import Dashboard
from defib_dev.components.node import Node
from frontend.conftest import Run

MOST_JAVASCRIPT = 200 * 1024
"""What a browser loads before it shows the fleet, compressed with gzip."""


def test_formatter_and_linter_find_nothing(run: Run) -> None:
    run("biome", "check", "--error-on-warnings", ".")


def test_it_compiles_against_the_apis_description_as_it_is_now(run: Run) -> None:
    """Makes the types anew first: what the API no longer says, the page may not use."""
    run("openapi-typescript", "../api/openapi.json", "-o", "src/api/schema.d.ts")
    run("tsc", "--noEmit")


def test_its_own_tests_pass(run: Run) -> None:
    run("vitest", "run")


def test_the_page_is_built_small_and_without_inline_scripts(
    sources: Dashboard, found_node: Node
) -> None:
    sources.build(found_node, print)
    built = sources.built

    page = (built / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)
    assert "<style" not in page
    assert 'content="__CSP_NONCE__"' in page or 'nonce="__CSP_NONCE__"' in page
    scripts = [built / name for name in initial_scripts(built)]
    assert scripts
    size = sum(len(gzip.compress(script.read_bytes(), 6)) for script in scripts)
    assert size <= MOST_JAVASCRIPT, f"{size} bytes of JavaScript at the start"
    for script in scripts:
        assert script.with_name(script.name + ".br").exists()


def test_the_lock_names_no_registry(sources: Dashboard) -> None:
    lock = (sources.folder / "package-lock.json").read_text()
    assert '"resolved"' not in lock


def test_a_node_is_new_enough_as_package_json_says(sources: Dashboard) -> None:
    engines = json.loads((sources.folder / "package.json").read_text())["engines"]["node"]
    assert engines == "^22.22.2 || ^24.15.0 || >=26"
    for version in ("v22.22.2", "v22.30.0", "v24.15.0", "v26.0.0", "v30.1.0"):
        assert node.is_new_enough(version), version
    for version in ("v20.20.2", "v22.22.1", "v23.9.0", "v24.14.9", "v25.1.0", "", "nonsense"):
        assert not node.is_new_enough(version), version


def test_the_package_brings_a_node_where_the_system_has_none() -> None:
    found = node.find(system=False)
    assert node.is_new_enough(found.version)
    assert found.npm.exists()


def initial_scripts(built: Path) -> set[str]:
    """The page's script and all it imports at once, from Vite's manifest."""
    manifest = json.loads((built / ".vite/manifest.json").read_text())
    waiting = [key for key, chunk in manifest.items() if chunk.get("isEntry")]
    found: set[str] = set()
    while waiting:
        chunk = manifest[waiting.pop()]
        if chunk["file"] not in found:
            found.add(chunk["file"])
            waiting += chunk.get("imports", [])
    return found
