"""Rules for names that several kinds share: names of objects, and hostnames."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from defib_core.config.base import SpecModel

OBJECT_NAME_WANTED = (
    "must be the name of an object in this namespace: lower-case letters, digits, '-' and '.',"
    " beginning and ending with a letter or digit"
)
HOSTNAME_WANTED = (
    "must be a host name such as web-01 or web-01.example.com: letters, digits, '-', '_' and '.',"
    " beginning and ending with a letter or digit"
)

OBJECT_NAME = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
# Looser than RFC 1123 by the underscore, which Windows allows and people use.
HOSTNAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$")
HOSTNAME_MAX = 253


def _is_object_name(value: str) -> str:
    if not OBJECT_NAME.fullmatch(value):
        raise PydanticCustomError("rule", OBJECT_NAME_WANTED)
    return value


def _is_hostname(value: str) -> str:
    if not HOSTNAME.fullmatch(value):
        raise PydanticCustomError("rule", HOSTNAME_WANTED)
    return value


ObjectName = Annotated[str, Field(max_length=HOSTNAME_MAX), AfterValidator(_is_object_name)]
Hostname = Annotated[str, Field(max_length=HOSTNAME_MAX), AfterValidator(_is_hostname)]


class Reference(SpecModel):
    """Another custom resource of ours, in the same namespace, by name."""

    name: ObjectName = "default"
