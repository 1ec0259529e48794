"""The OpenAPI document: FastAPI's, without the 422 that this API never answers."""

import json
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

NEVER = "422"
JSON = "application/json"
UNUSED = ("HTTPValidationError", "ValidationError")
METHODS = frozenset({"get", "post", "put", "patch", "delete"})


def install(app: FastAPI) -> None:
    """Make the application describe itself so."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _describe(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # the way FastAPI documents


def as_text(app: FastAPI) -> str:
    """Write the document as it is kept in the repository."""
    return json.dumps(app.openapi(), indent=2, ensure_ascii=False) + "\n"


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """List path, method and operation of each operation."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method in METHODS:
                yield path, method, operation


def _failures_are_json(operation: dict[str, Any]) -> None:
    """FastAPI says that failures have the form of the success, which may be a stream."""
    for status, answer in operation["responses"].items():
        if status >= "4" and len(answer.get("content", {})) > 1:
            parts = answer["content"].values()
            answer["content"] = {JSON: {key: part[key] for part in parts for key in part}}


def _describe(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=app.description,
        tags=app.openapi_tags,
        routes=app.routes,
        license_info=app.license_info,
    )
    for _, _, operation in operations(document):
        operation["responses"].pop(NEVER, None)
        _failures_are_json(operation)
    for name in UNUSED:
        document["components"]["schemas"].pop(name, None)
    return document
