"""The audit log: what people did, when, by which way, and why. Rows are added, never changed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_core.domain.actions import Source


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks, and by which way."""

    actor: str
    source: Source


KUBECTL = "kubectl"
BY_MANIFEST = Who(KUBECTL, Source.MANIFEST)
"""A spec says so. Who applied it is in the audit log of the Kubernetes API, not here."""
BY_ANNOTATION = Who(KUBECTL, Source.ANNOTATION)


class Deed(StrEnum):
    """What somebody did."""

    PAUSE = "Pause"
    UNPAUSE = "Unpause"
    OPEN_MAINTENANCE = "OpenMaintenance"
    CLOSE_MAINTENANCE = "CloseMaintenance"
    BEGIN_GLOBAL_STOP = "BeginGlobalStop"
    END_GLOBAL_STOP = "EndGlobalStop"
    CLEAR = "Clear"
    RESET = "Reset"
    MAKE_ENROLMENT = "CreateEnrolmentToken"
    END_ENROLMENT = "RevokeEnrolmentToken"
    ENROL = "Enrol"
    ROTATE_KEY = "RotateToken"
    REVOKE_KEY = "RevokeToken"
    MAKE_PERSONAL = "CreatePersonalToken"
    END_PERSONAL = "RevokePersonalToken"
    SIGN_IN = "SignIn"
    SIGN_OUT = "SignOut"


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One thing that somebody did; `detail` holds the reason and what else belongs to it."""

    id: int
    at: datetime
    actor: str
    source: Source
    action: Deed
    vm_id: int | None
    hostname: str | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which lines are wanted; None means all. `before` is a line's id: older ones only."""

    limit: int
    vm_id: int | None = None
    action: Deed | None = None
    before: int | None = None


ADD = text("""
INSERT INTO audit (at, actor, source, action, vm_id, detail)
VALUES (:now, :actor, :source, :action, :vm_id, :detail)
""").bindparams(bindparam("detail", type_=JSONB))
READ = text("""
SELECT a.id, a.at, a.actor, a.source, a.action, a.vm_id, v.hostname, a.detail
FROM audit a LEFT JOIN vm v ON v.id = a.vm_id
WHERE (CAST(:vm_id AS bigint) IS NULL OR a.vm_id = :vm_id)
  AND (CAST(:action AS text) IS NULL OR a.action = :action)
  AND (CAST(:before AS bigint) IS NULL OR a.id < :before)
  AND a.action = ANY (CAST(:known AS text[]))
ORDER BY a.id DESC LIMIT :limit
""")
HAS_KEY = text("""
SELECT EXISTS (SELECT FROM audit WHERE vm_id = :vm_id AND action = :action
               AND detail ->> 'requestKey' = :request_key)
""")


async def audit(  # noqa: PLR0917 - a row
    connection: AsyncConnection,
    who: Who,
    action: Deed,
    now: datetime,
    vm_id: int | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write down what somebody did. Of `detail`, what is None is left out."""
    given = {name: value for name, value in (detail or {}).items() if value is not None}
    await connection.execute(
        ADD,
        {
            "now": now,
            "actor": who.actor,
            "source": who.source.value,
            "action": action.value,
            "vm_id": vm_id,
            "detail": given,
        },
    )


async def audit_log(connection: AsyncConnection, wanted: AuditQuery) -> Sequence[AuditLine]:
    """Read what people did, newest first; deeds that only a later version knows are left out."""
    bound = {
        "known": [one.value for one in Deed],
        "vm_id": wanted.vm_id,
        "action": None if wanted.action is None else wanted.action.value,
        "before": wanted.before,
        "limit": wanted.limit,
    }
    rows = await connection.execute(READ, bound)
    words = ((row, {"source": Source(row.source), "action": Deed(row.action)}) for row in rows)
    return [AuditLine(**{**row._mapping, **word}) for row, word in words]


async def was_done(connection: AsyncConnection, vm_id: int, action: Deed, request_key: str) -> bool:
    """Say whether a request with this key was carried out; hold the VM's row while asking."""
    bound = {"vm_id": vm_id, "action": action.value, "request_key": request_key}
    return bool((await connection.execute(HAS_KEY, bound)).scalar_one())
