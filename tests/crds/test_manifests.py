"""Examples are accepted, and bad manifests refused, by the API server and by the models alike.

A refused manifest says in its first comments what must be in the refusal: `# refused: ...` for
both, else `# refused by the server: ...` and `# refused by the model: ...`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from defib_core.config.base import InvalidSpec, SpecModel
from defib_dev.components.kubectl import Kubectl, KubectlError

EXAMPLES = sorted((Path(__file__).parents[2] / "crds" / "examples").glob("*.yaml"))
REFUSED = sorted((Path(__file__).parent / "rejected").glob("*.yaml"))

Parsers = dict[str, Callable[[Mapping[str, Any]], SpecModel]]

by_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
by_refused = pytest.mark.parametrize("path", REFUSED, ids=lambda path: path.stem)


@by_example
def test_an_example_is_accepted_by_the_api_server(path: Path, kubectl: Kubectl) -> None:
    create(kubectl, path)


@by_example
def test_an_example_is_accepted_by_the_model(path: Path, parsers: Parsers) -> None:
    ours = [one for one in documents(path) if one["kind"] in parsers]

    assert ours
    for document in ours:
        parsers[document["kind"]](document["spec"])


@by_example
def test_an_example_says_in_a_comment_what_it_is_for(path: Path) -> None:
    assert path.read_text().startswith("# ")


@by_refused
def test_a_bad_manifest_is_refused_by_the_api_server(path: Path, kubectl: Kubectl) -> None:
    with pytest.raises(KubectlError) as refusal:
        create(kubectl, path)

    assert expected(path, "server") in str(refusal.value)


@by_refused
def test_a_bad_manifest_is_refused_by_the_model(path: Path, parsers: Parsers) -> None:
    (document,) = documents(path)

    with pytest.raises(InvalidSpec) as refusal:
        parsers[document["kind"]](document["spec"])

    assert expected(path, "model") in str(refusal.value)
    assert all(problem.path.startswith("spec") for problem in refusal.value.problems)


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        ("proxmoxcluster-endpoint-with-password", "root:"),
        ("proxmoxcluster-ca-bundle-with-key", "MHcC"),
    ],
)
def test_a_refusal_does_not_print_the_secret_it_found(
    path: str, secret: str, kubectl: Kubectl, parsers: Parsers
) -> None:
    file = Path(__file__).parent / "rejected" / f"{path}.yaml"
    (document,) = documents(file)
    assert secret in file.read_text()

    with pytest.raises(KubectlError) as by_server:
        create(kubectl, file)
    with pytest.raises(InvalidSpec) as by_model:
        parsers["ProxmoxCluster"](document["spec"])

    assert secret not in str(by_server.value)
    assert secret not in str(by_model.value)


def create(kubectl: Kubectl, path: Path) -> str:
    """What `kubectl create` would do, on the server, with unknown fields refused."""
    flags = ("--dry-run=server", "--validate=strict", "--namespace=default")
    return kubectl.run("create", *flags, f"--filename={path}")


def documents(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def expected(path: Path, judge: str) -> str:
    comments = [line for line in path.read_text().splitlines() if line.startswith("# refused")]
    words = dict(line.removeprefix("# ").split(": ", maxsplit=1) for line in comments)
    return words.get("refused") or words[f"refused by the {judge}"]
