"""The models say what the YAML says: the same fields, defaults, ranges and words, at every depth.

Both sides are brought into one form and compared whole. A keyword that the comparison does not
know fails it, so that nothing is passed over in silence.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from defib_core.config import names, proxmox_cluster, system_config, virtual_machine
from defib_core.config.base import InvalidSpec, SpecModel
from defib_core.config.proxmox_cluster import ProxmoxClusterSpec
from defib_core.config.system_config import SystemConfigSpec
from defib_core.config.virtual_machine import VirtualMachineSpec

Node = dict[str, Any]

MODELS: dict[str, type[SpecModel]] = {
    "VirtualMachine": VirtualMachineSpec,
    "SystemConfig": SystemConfigSpec,
    "ProxmoxCluster": ProxmoxClusterSpec,
}
LIMITS = {
    "type",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
}
YAML_WORDS = {
    *LIMITS,
    *("description", "properties", "items", "required", "default", "format"),
    "additionalProperties",
    # Rules are held by the refused manifests: each must be refused by the model in the same words.
    *("x-kubernetes-validations", "x-kubernetes-list-type"),
}
MODEL_WORDS = {
    *LIMITS,
    *("title", "description", "properties", "items", "required", "default", "format"),
    *("additionalProperties", "uniqueItems"),
}
REFUSED = sorted((Path(__file__).parent / "rejected").glob("*.yaml"))


@pytest.mark.parametrize("kind", MODELS)
def test_the_model_has_the_fields_defaults_and_ranges_of_the_definition(
    kind: str, schemas: dict[str, Node]
) -> None:
    model = MODELS[kind].model_json_schema(by_alias=True)

    said = from_yaml(schemas[kind]["properties"]["spec"])

    assert from_model(model, model.get("$defs", {})) == said
    assert said["properties"], "the comparison compared nothing"


def test_the_comparison_sees_a_difference_in_a_nested_range(schemas: dict[str, Node]) -> None:
    model = SystemConfigSpec.model_json_schema(by_alias=True)
    yaml_side = json.loads(json.dumps(schemas["SystemConfig"]["properties"]["spec"]))
    yaml_side["properties"]["safety"]["properties"]["maxDownPercent"]["maximum"] = 99

    assert from_model(model, model["$defs"]) != from_yaml(yaml_side)


@pytest.mark.parametrize(
    "node",
    [
        {"type": "string", "pattern": "^a$"},
        {"type": "object", "additionalProperties": {"type": "string", "pattern": "^a$"}},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "array", "x-kubernetes-list-type": "map"},
    ],
)
def test_the_comparison_refuses_yaml_it_does_not_know(node: Node) -> None:
    with pytest.raises(AssertionError, match="unknown"):
        from_yaml(node)


@pytest.mark.parametrize(
    "node",
    [
        {"type": "string", "pattern": "^a$"},
        {"type": "object", "additionalProperties": True, "properties": {}},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "number", "exclusiveMinimum": 0},
    ],
)
def test_the_comparison_refuses_models_it_does_not_know(node: Node) -> None:
    with pytest.raises(AssertionError, match="unknown"):
        from_model(node, {})


@pytest.mark.parametrize("kind", MODELS)
def test_each_rule_of_the_definition_is_in_the_model_in_the_same_words(
    kind: str, schemas: dict[str, Node]
) -> None:
    wanted = {
        rule["message"]
        for rule in rules(schemas[kind]["properties"]["spec"])
        if "oldSelf" not in rule["rule"]  # a model sees one object, not what it was before
    }

    said = {
        problem.message
        for document in (yaml.safe_load(path.read_text()) for path in REFUSED)
        if document["kind"] == kind
        for problem in problems(MODELS[kind], document["spec"])
    }

    assert wanted
    assert wanted - said == set()


def test_the_rules_and_the_models_share_their_regular_expressions(
    schemas: dict[str, Node],
) -> None:
    in_rules = {
        expression
        for schema in schemas.values()
        for rule in rules(schema["properties"]["spec"])
        for expression in re.findall(r"matches\(r'(.*?)'\)", rule["rule"])
    }

    assert in_rules == {
        names.HOSTNAME.pattern,
        names.OBJECT_NAME.pattern,
        proxmox_cluster.CERTIFICATE.pattern,
        proxmox_cluster.ENDPOINT.pattern,
        system_config.LABEL_KEY.pattern,
        system_config.SOMETHING.pattern,
        system_config.WINDOW_NAME.pattern,
        virtual_machine.SOMETHING.pattern,
    }


def problems(model: type[SpecModel], spec: Node) -> tuple[Any, ...]:
    with pytest.raises(InvalidSpec) as refused:
        model.parse(spec, model.__name__)
    return refused.value.problems


def rules(node: Node) -> list[Node]:
    children = [
        *node.get("properties", {}).values(),
        node.get("items", {}),
        node.get("additionalProperties", {}),
    ]
    own: list[Node] = node.get("x-kubernetes-validations", [])
    return [*own, *(rule for child in children if child for rule in rules(child))]


def from_yaml(node: Node) -> Node:
    """A node of the definition in the common form."""
    unknown = set(node) - YAML_WORDS
    assert not unknown, f"unknown keywords in the YAML: {unknown}"
    list_type = node.get("x-kubernetes-list-type")
    assert list_type in (None, "atomic", "set"), f"unknown list type {list_type}"
    common = {word: node[word] for word in LIMITS & set(node)}
    if list_type == "set":
        common["uniqueItems"] = True
    if node.get("format") == "date-time":
        common["format"] = "date-time"
    if "default" in node:
        common["default"] = filled_in(node, node["default"])
    if "properties" in node:
        common["properties"] = {
            name: from_yaml(child) for name, child in node["properties"].items()
        }
        common["required"] = sorted(node.get("required", []))
    if "items" in node:
        common["items"] = from_yaml(node["items"])
    if "additionalProperties" in node:
        common["additionalProperties"] = from_yaml(node["additionalProperties"])
    return common


def filled_in(node: Node, value: object) -> object:
    """A default as the API server completes it from the defaults below."""
    if not isinstance(value, dict):
        return value
    below = {
        name: filled_in(child, child["default"])
        for name, child in node.get("properties", {}).items()
        if "default" in child
    }
    return below | value


def from_model(node: Node, definitions: dict[str, Node]) -> Node:
    """A node of the model's JSON schema in the common form."""
    node = flattened(node, definitions)
    unknown = set(node) - MODEL_WORDS
    assert not unknown, f"unknown keywords in the model: {unknown}"
    values = node.get("additionalProperties", False)
    assert values is False or isinstance(values, dict), "unknown additionalProperties"
    common = {word: node[word] for word in (LIMITS | {"format", "uniqueItems"}) & set(node)}
    default = without_nones(node.get("default"))
    if default not in (None, {}):
        common["default"] = default
    if "properties" in node:
        common["properties"] = {
            name: from_model(child, definitions) for name, child in node["properties"].items()
        }
        common["required"] = sorted(node.get("required", []))
    if "items" in node:
        common["items"] = from_model(node["items"], definitions)
    if values:
        common["additionalProperties"] = from_model(values, definitions)
    return common


def flattened(node: Node, definitions: dict[str, Node]) -> Node:
    """The node without references, and without the null that stands for `left out`."""
    node = {word: value for word, value in node.items() if word != "$defs"}
    if "anyOf" in node:
        choices = node.pop("anyOf")
        given = [choice for choice in choices if choice != {"type": "null"}]
        assert len(given) == 1 < len(choices), f"unknown choice {choices}"
        node = {**given[0], **node}
    if "$ref" in node:
        target = definitions[node.pop("$ref").removeprefix("#/$defs/")]
        return flattened({**target, **node}, definitions)
    return node


def without_nones(value: object) -> object:
    if not isinstance(value, dict):
        return value
    return {name: without_nones(child) for name, child in value.items() if child is not None}
