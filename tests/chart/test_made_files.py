"""README, schema and definitions of the chart are what is made of their sources."""

from pathlib import Path

import pytest

from defib_dev.chart import files, values
from defib_dev.chart.schema import schema_of
from support.helm import CHART

DEFINITIONS = Path(__file__).parents[2] / "crds"


def test_readme_and_schema_are_up_to_date() -> None:
    assert files.outdated() == []


def test_the_charts_definitions_are_those_of_crds_byte_for_byte() -> None:
    ours = {file.name: file.read_bytes() for file in DEFINITIONS.glob("*.yaml")}
    assert ours
    assert {file.name: file.read_bytes() for file in (CHART / "crds").iterdir()} == ours


def test_each_value_is_explained() -> None:
    found = values.read(CHART / "values.yaml")
    assert len(found) > 60
    assert [one.name for one in found if len(one.description) < 10] == []


def test_a_value_without_an_explanation_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text("api:\n  # -- How many.\n  replicas: 2\n  port: 3000\n")
    with pytest.raises(values.ValuesError, match=r"line 4: api\.port has no"):
        values.read(file)


def test_the_schema_takes_type_and_limits_from_value_and_comment(tmp_path: Path) -> None:
    file = tmp_path / "values.yaml"
    file.write_text(
        "api:\n  # -- How many.\n  # @schema {minimum: 1}\n  replicas: 2\n"
        "  # -- What it asks for.\n  resources:\n    requests: {cpu: 1}\n"
    )
    api = schema_of(values.read(file))["properties"]["api"]
    assert api["additionalProperties"] is False
    assert api["properties"]["replicas"] == {
        "type": "integer",
        "description": "How many.",
        "minimum": 1,
    }
    assert api["properties"]["resources"]["type"] == "object"


def test_a_stale_file_is_found_and_mended(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text("# -- How many.\nreplicas: 2\n")
    assert tmp_path / "README.md" in files.outdated(tmp_path)
    files.write(tmp_path)
    assert files.outdated(tmp_path) == []
    assert "| `replicas` | `2` | How many. |" in (tmp_path / "README.md").read_text()
