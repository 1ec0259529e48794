"""What the specs of the custom resources have in common: how they are read and refused.

The handwritten YAML in `crds/` is the truth and refuses nearly everything first; the models hold
the same rules so that nothing depends on which server an object went through. Descriptions of the
fields stand in the YAML only.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import InitErrorDetails, PydanticCustomError

ENUM_MEMBER = re.compile(r"<[\w.]+: ('[^']*')>")
"""How pydantic writes a member of an enum, around the word a person would type."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, as a path from `spec`, and what to do about it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class InvalidSpec(Exception):
    """A spec that cannot be put in force. `problems` names each field; the text is for people."""

    def __init__(self, kind: str, problems: Iterable[Problem]) -> None:
        self.kind = kind
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class SpecModel(BaseModel):
    """A part of a spec: frozen, camelCase outside, unknown fields refused."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        frozen=True,
        validate_by_alias=True,
        validate_by_name=True,
        allow_inf_nan=False,
    )

    @classmethod
    def parse(cls, spec: Mapping[str, Any], kind: str) -> Self:
        """Read a spec as the API server gives it: exact types, only the YAML's own names.

        Raises InvalidSpec with every problem found.
        """
        try:
            text = json.dumps(dict(spec), allow_nan=False)
            return cls.model_validate_json(text, strict=True, by_alias=True, by_name=False)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            raise InvalidSpec(kind, [_problem(dict(one)) for one in details]) from error
        except (TypeError, ValueError) as error:
            raise InvalidSpec(kind, [Problem("spec", f"is not JSON: {error}")]) from error


def refusal(*loc: str | int, message: str) -> InitErrorDetails:
    """One refused field inside a model's own rule, for `refuse`. `loc` is relative to the model."""
    # The template is our own text; braces in it would be read as fields.
    return InitErrorDetails(
        type=PydanticCustomError("rule", "{message}", {"message": message}),
        loc=loc,
        input=None,
    )


def refuse(model: SpecModel, refusals: list[InitErrorDetails]) -> None:
    """Raise what pydantic reports as one error for each refused field; nothing for none."""
    if refusals:
        raise ValidationError.from_exception_data(type(model).__name__, refusals)


def _problem(error: dict[str, Any]) -> Problem:
    return Problem(_path(error["loc"]), _message(error))


def _path(loc: tuple[str | int, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return "spec" + "".join(parts)


def _message(error: dict[str, Any]) -> str:
    match error["type"]:
        case "missing":
            return "is required: set it"
        case "extra_forbidden":
            return "is not a field of this resource: remove it, or correct its spelling"
        case "literal_error":
            return ENUM_MEMBER.sub(r"\1", str(error["msg"]).removeprefix("Input "))
        case "too_short":
            return f"should have at least {error['ctx']['min_length']} items"
        case "too_long":
            return f"should have at most {error['ctx']['max_length']} items"
        case _:
            return str(error["msg"]).removeprefix("Input ")
