"""The definitions by themselves: names, descriptions, columns, and words shared with the rules."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from defib_core.config.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    HealthyReason,
    ReadyReason,
    RemediationReason,
)
from defib_core.config.resources import (
    CLEAR_REASON_ANNOTATION,
    CLEAR_REQUESTED_ANNOTATION,
    GROUP,
    RESET_FORCE_ANNOTATION,
    RESET_REASON_ANNOTATION,
    RESET_REQUESTED_ANNOTATION,
    RESOURCES,
    VERSION,
    Resource,
)
from defib_core.domain.actions import Phase
from defib_core.domain.reasons import HoldReason, TransitionReason
from defib_core.domain.states import State

Schemas = dict[str, dict[str, Any]]

by_resource = pytest.mark.parametrize("resource", RESOURCES, ids=lambda one: one.kind)


@by_resource
def test_the_definition_has_the_names_the_code_uses(
    resource: Resource, definitions: Schemas
) -> None:
    definition = definitions[resource.kind]
    spec = definition["spec"]

    assert definition["metadata"]["name"] == resource.crd_name
    assert spec["group"] == GROUP
    assert spec["scope"] == "Namespaced"
    assert spec["names"] == {
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "plural": resource.plural,
        "singular": resource.kind.lower(),
        "shortNames": [resource.short_name],
        "categories": ["defib"],
    }


@by_resource
def test_there_is_one_served_version_with_a_status_subresource(
    resource: Resource, definitions: Schemas
) -> None:
    (version,) = definitions[resource.kind]["spec"]["versions"]

    assert (version["name"], version["served"], version["storage"]) == (VERSION, True, True)
    assert version["subresources"] == {"status": {}}


def test_nothing_lies_beside_the_definitions() -> None:
    folder = Path(__file__).parents[2] / "crds"

    assert {path.name for path in folder.iterdir()} == {
        "examples",
        *(f"{GROUP}_{resource.plural}.yaml" for resource in RESOURCES),
    }


@by_resource
def test_every_field_is_described_in_a_sentence(resource: Resource, schemas: Schemas) -> None:
    given_by_kubernetes = {f"{resource.kind}.{name}" for name in ("apiVersion", "kind", "metadata")}

    undescribed = [
        path
        for path, node in fields(schemas[resource.kind], resource.kind)
        if path not in given_by_kubernetes
        and not (len(node.get("description", "").split()) >= 3 and node["description"][-1] in ".)")
    ]

    assert undescribed == []


@by_resource
def test_every_number_says_its_range_and_default_in_words(
    resource: Resource, schemas: Schemas
) -> None:
    spec = schemas[resource.kind]["properties"]["spec"]
    unsaid = [
        path
        for path, node in fields(spec, "spec")
        if node["type"] in ("integer", "number")
        for word in ("minimum", "maximum", "default")
        if word in node and str(node[word]) not in node["description"]
    ]

    assert unsaid == []


@by_resource
def test_every_rule_says_what_to_do_in_a_sentence(resource: Resource, schemas: Schemas) -> None:
    messages = [
        rule["message"]
        for _, node in walk(schemas[resource.kind], "")
        for rule in node.get("x-kubernetes-validations", [])
    ]

    assert messages
    assert all(len(message.split()) >= 8 for message in messages)


@by_resource
def test_the_api_server_prunes_what_the_schema_does_not_know(
    resource: Resource, schemas: Schemas
) -> None:
    lax = [
        path
        for path, node in walk(schemas[resource.kind], resource.kind)
        if {"x-kubernetes-preserve-unknown-fields", "nullable"} & set(node)
        or node.get("additionalProperties", {"type": "string"}).get("type") != "string"
    ]

    assert lax == []


def test_health_has_the_words_of_the_states(schemas: Schemas) -> None:
    status = schemas["VirtualMachine"]["properties"]["status"]["properties"]

    assert status["health"]["enum"] == [state.value for state in State]


def test_the_outcome_of_a_reset_has_the_words_of_the_phases(schemas: Schemas) -> None:
    status = schemas["VirtualMachine"]["properties"]["status"]["properties"]

    assert status["lastReset"]["properties"]["outcome"]["enum"] == [phase.value for phase in Phase]


def test_the_annotations_people_may_use_are_described(schemas: Schemas) -> None:
    description = schemas["VirtualMachine"]["description"]

    for annotation in (
        RESET_REQUESTED_ANNOTATION,
        RESET_REASON_ANNOTATION,
        RESET_FORCE_ANNOTATION,
        CLEAR_REQUESTED_ANNOTATION,
        CLEAR_REASON_ANNOTATION,
    ):
        assert annotation in description


@by_resource
def test_conditions_have_the_shape_of_kubernetes_own(resource: Resource, schemas: Schemas) -> None:
    conditions = schemas[resource.kind]["properties"]["status"]["properties"]["conditions"]
    item = conditions["items"]

    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert sorted(item["required"]) == sorted(
        ["type", "status", "lastTransitionTime", "reason", "message"]
    )
    assert set(item["properties"]) == {*item["required"], "observedGeneration"}
    assert item["properties"]["status"]["enum"] == [status.value for status in ConditionStatus]


@pytest.mark.parametrize(
    "words", [ReadyReason, HealthyReason, RemediationReason, HoldReason, TransitionReason]
)
def test_every_reason_is_a_word_kubernetes_accepts(words: type[ReadyReason]) -> None:
    assert all(word.value.isalnum() and word.value[0].isupper() for word in words)


def test_columns_speak_of_conditions_that_exist(definitions: Schemas) -> None:
    named = {
        column["jsonPath"].split('"')[1]
        for definition in definitions.values()
        for column in definition["spec"]["versions"][0]["additionalPrinterColumns"]
        if '@.type=="' in column["jsonPath"]
    }

    assert named == {ConditionType.READY, ConditionType.HEALTHY, ConditionType.REMEDIATION_ALLOWED}
    assert Condition.__dataclass_fields__["type"].type is ConditionType


def fields(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every property of the schema, at every depth."""
    for name, child in node.get("properties", {}).items():
        yield f"{path}.{name}", child
        yield from fields(child, f"{path}.{name}")
    if "items" in node:
        yield from fields(node["items"], f"{path}[]")


def walk(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of the schema, the root and items too."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    if "items" in node:
        yield from walk(node["items"], f"{path}[]")
