"""What a token lacks, in words an administrator can act on. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from defib_operator.proxmox.parse import Row, row

AUDIT = "VM.Audit"
POWER = "VM.PowerMgmt"
PING = ("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted", "VM.Monitor")
"""Any of these; the last is the one of Proxmox VE 8."""
SYSTEM = "Sys.Audit"
ALL_VMS = "/vms"


@dataclass(frozen=True, slots=True)
class TokenRights:
    """Privileges by path, as Proxmox works them out for the token (already with its owner's)."""

    privileges: Mapping[str, frozenset[str]]

    @property
    def missing(self) -> tuple[str, ...]:
        """What the token may not do, one sentence each; empty when nothing is lacking.

        A right held only for some VMs is not missing: `allows` tells for which.
        """
        lacks = []
        if not self._anywhere(AUDIT):
            lacks.append(f"see VMs: grant {AUDIT} on /vms, a pool or single VMs")
        if not self._anywhere(POWER):
            lacks.append(f"reset VMs: grant {POWER} on /vms, a pool or single VMs")
        if not any(self._anywhere(privilege) for privilege in PING):
            lacks.append(
                f"ask the guest agent for a sign of life: grant {PING[0]} on /vms "
                f"({PING[-1]} on Proxmox VE 8)"
            )
        if SYSTEM not in self.privileges.get("/", frozenset()):
            lacks.append(f"see whether the cluster is quorate: grant {SYSTEM} on /")
        return tuple(f"The token may not {what}" for what in lacks)

    def allows(self, privilege: str, vmid: int) -> bool:
        """Say whether the token holds this privilege for this VM."""
        return any(
            privilege in self.privileges.get(path, frozenset())
            for path in (ALL_VMS, f"{ALL_VMS}/{vmid}")
        )

    def _anywhere(self, privilege: str) -> bool:
        return any(
            privilege in held
            for path, held in self.privileges.items()
            if path == ALL_VMS or path.startswith(f"{ALL_VMS}/")
        )


def token_rights(data: object) -> TokenRights:
    """Read /access/permissions: {path: {privilege: propagates}}."""
    return TokenRights({path: _held(path, held) for path, held in _paths(data)})


def _paths(data: object) -> list[tuple[str, Row]]:
    """An empty hash may arrive as an empty list."""
    if data == []:
        return []
    permissions = row(data, "the token's permissions")
    return [(path, row(held, "the token's permissions")) for path, held in permissions.items()]


def _held(path: str, held: Row) -> frozenset[str]:
    """Take the privileges that count: on /vms only those that VMs inherit."""
    return frozenset(name for name, propagates in held.items() if path != ALL_VMS or propagates)
