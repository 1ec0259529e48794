"""Who claims are about, and which role that gives here. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from defib_core.domain.roles import Role, RoleMapping

NAME_MOST = 128
GROUPS_MOST = 10_000

Claims = Mapping[str, Any]


class NoRole(Exception):
    """It is known who it is, and he may do nothing here; the text is for him."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who was identified elsewhere."""

    name: str
    role: Role
    subject: str
    """What the other side calls him for ever."""


@dataclass(frozen=True, slots=True)
class ClaimRules:
    """Where a person's name and groups are found, and what the groups are worth."""

    name_claim: str
    role_claim: str
    roles: RoleMapping


def person_of(claims: Claims, rules: ClaimRules) -> Person:
    """Say who it is; raises NoRole."""
    subject = str(claims["sub"])
    found = _at(claims, rules.name_claim)
    name = found if isinstance(found, str) and is_plain(found) else subject
    if not is_plain(name):
        raise NoRole("the provider gives a name that cannot be shown")
    role = rules.roles.role_of(groups_of(_at(claims, rules.role_claim)))
    if role is None:
        raise NoRole(
            f"{name} has no role here: none of what the claim {rules.role_claim} says is in"
            " DEFIB_ROLES; ask whoever runs Defib"
        )
    return Person(name, role, subject)


def is_plain(name: str) -> bool:
    """Say whether a name may stand in histories and logs."""
    return 0 < len(name) <= NAME_MOST and name.isprintable() and name == name.strip()


def groups_of(value: object) -> list[str]:
    """Read one group, or a list of them; whatever else is none."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [one for one in value[:GROUPS_MOST] if isinstance(one, str)]
    return []


def _at(claims: Claims, path: str) -> object:
    """Look a claim up; an address counts only where the provider has verified it."""
    if path == "email" and claims.get("email_verified") is not True:
        return None
    if path in claims:
        return claims[path]
    value: object = claims
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value
