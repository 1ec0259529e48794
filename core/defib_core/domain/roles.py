"""What people may do: three roles, each of which may do what the one before may."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """A person's or a program's rights."""

    VIEWER = "viewer"
    """Sees everything, changes nothing."""
    OPERATOR = "operator"
    """Also resets, pauses, opens windows, stops everything."""
    ADMINISTRATOR = "administrator"
    """Also makes and ends tokens, and forces a reset."""

    def may(self, needed: "Role") -> bool:
        """Say whether these rights reach."""
        return RANK[self] >= RANK[needed]


RANK = {role: rank for rank, role in enumerate(Role)}

EVERYBODY = "*"
"""Stands in a mapping for whoever has been identified, whatever his groups."""


@dataclass(frozen=True, slots=True)
class RoleMapping:
    """Which role the groups that a provider or a proxy tells of have here."""

    by_group: Mapping[str, Role]

    def role_of(self, groups: Iterable[str]) -> Role | None:
        """Say the highest role that these groups give; None where none gives one."""
        found = [self.by_group[one] for one in (EVERYBODY, *groups) if one in self.by_group]
        return max(found, key=RANK.__getitem__, default=None)

    @classmethod
    def read(cls, text: str) -> "RoleMapping":
        """Read `administrator=defib-admins; viewer=*`. Raises ValueError."""
        by_group: dict[str, Role] = {}
        for part in text.replace("\n", ";").split(";"):
            if not part.strip():
                continue
            word, equals, group = (piece.strip() for piece in part.partition("="))
            if not equals or not group or word not in set(Role):
                raise ValueError(f"{part.strip()[:80]!r} is not of the form ROLE=GROUP; {WANTED}")
            if group in by_group:
                raise ValueError(f"the group {group[:80]!r} has two roles")
            by_group[group] = Role(word)
        return cls(by_group)


WANTED = "write, for example, administrator=defib-admins; operator=on-call; viewer=*"
