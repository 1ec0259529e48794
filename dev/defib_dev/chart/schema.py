"""The JSON schema of the chart's values, with which Helm refuses what is wrong. Pure."""

import json
from collections.abc import Iterable
from typing import Any

from defib_dev.chart.values import Value

_TYPES = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"))

Schema = dict[str, Any]


def schema_of(values: Iterable[Value]) -> Schema:
    """Make the schema: every key is known, every type is its default's."""
    root: Schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the Helm chart defib",
        **_section(),
    }
    for value in values:
        _section_of(root, value.path[:-1])["properties"][value.path[-1]] = _of(value)
    # Helm passes `global` to a chart that is a part of another one.
    root["properties"]["global"] = {"type": "object"}
    return root


def as_text(schema: Schema) -> str:
    """Write the schema as the file holds it."""
    return json.dumps(schema, indent=2) + "\n"


def _section() -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": {}}


def _section_of(root: Schema, path: tuple[str, ...]) -> Schema:
    for key in path:
        root = root["properties"].setdefault(key, _section())
    return root


def _of(value: Value) -> Schema:
    kind = "array" if isinstance(value.default, list) else "object"
    kind = next((name for known, name in _TYPES if isinstance(value.default, known)), kind)
    return {"type": kind, "description": value.description, **value.narrowed}
