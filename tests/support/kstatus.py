"""The rules by which Flux, Argo CD's generic health and kubectl-like tools judge any object.

Written from the description of kstatus, apart from Defib: what is deleted is Terminating; what the
controller has not looked at is InProgress; then Reconciling, Stalled and Ready, in this order. An
object that says nothing at all is taken for done.
"""

from collections.abc import Mapping
from typing import Any

CURRENT, IN_PROGRESS, FAILED, TERMINATING = "Current", "InProgress", "Failed", "Terminating"


def kstatus(obj: Mapping[str, Any]) -> str:
    """Judge an object as it stands."""
    meta, status = obj["metadata"], obj.get("status") or {}
    if meta.get("deletionTimestamp"):
        return TERMINATING
    if status.get("observedGeneration", meta["generation"]) != meta["generation"]:
        return IN_PROGRESS
    conditions = {one["type"]: one["status"] for one in status.get("conditions", [])}
    if conditions.get("Reconciling") == "True":
        return IN_PROGRESS
    if conditions.get("Stalled") == "True":
        return FAILED
    return CURRENT if conditions.get("Ready", "True") == "True" else IN_PROGRESS
