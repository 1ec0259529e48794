"""What people may do: three roles, each of which may do what the one before may."""

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
