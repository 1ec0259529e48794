"""What all bodies have in common: camelCase names, times as the contract writes them."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel


def written(moment: datetime) -> str:
    """Write a time in UTC, to the second: 2024-01-01T12:00:00Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def short(number: float) -> int | float:
    """Write 80.0 as 80, and leave 80.5 as it is."""
    return int(number) if float(number).is_integer() else number


Moment = Annotated[
    datetime,
    PlainSerializer(written, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
Number = Annotated[
    float,
    PlainSerializer(short, when_used="json"),
    WithJsonSchema({"type": "number"}, mode="serialization"),
]


class ApiModel(BaseModel):
    """A body of the API."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        frozen=True,
    )
