"""Objects of the Kubernetes API as they arrive, taken apart. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from defib_core.config.system_config import SystemConfigSpec
from defib_core.config.virtual_machine import VirtualMachineSpec
from defib_core.store.mirror import ObjectKey, VmObject
from defib_operator.wishes import asked_in

Body = Mapping[str, Any]
Mark = int


def version_of(body: Body) -> int:
    """The age of an object; the API server's versions are numbers that grow."""
    text = cast("str", body["metadata"].get("resourceVersion", "0"))
    return int(text) if text.isdecimal() else 0


def mark_of(body: Body) -> Mark:
    """Tell everything in an object that matters here by a number: there may be very many."""
    meta = body["metadata"]
    annotations = meta.get("annotations") or {}
    return hash(
        (
            meta["generation"],
            tuple(sorted((meta.get("labels") or {}).items())),
            asked_in(annotations),
            meta.get("deletionTimestamp"),
        )
    )


def is_being_deleted(body: Body) -> bool:
    """True where it was deleted, and a finalizer of somebody's keeps it for a while."""
    return body["metadata"].get("deletionTimestamp") is not None


def key_of(body: Body) -> ObjectKey:
    """Say which object it is."""
    meta = body["metadata"]
    return ObjectKey(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta["generation"],
        created_at=datetime.fromisoformat(meta["creationTimestamp"]),
    )


def vm_object(key: ObjectKey, spec: VirtualMachineSpec, body: Body) -> VmObject:
    """Say what the database wants to know of a VirtualMachine."""
    paused, own = spec.paused, spec.overrides
    return VmObject(
        key=key,
        cluster=spec.cluster_ref.name,
        config=spec.config_ref.name,
        vmid=spec.vmid,
        hostname=spec.hostname,
        proxmox_name=spec.proxmox_name,
        stale_timeout=own.stale_timeout,
        cpu_threshold=own.cpu_threshold,
        ram_threshold=own.ram_threshold,
        max_attempts=spec.remediation.max_attempts,
        enabled=spec.remediation.enabled,
        steps=tuple(step.value for step in spec.remediation.steps),
        paused_reason=None if paused is None else paused.reason,
        paused_until=None if paused is None else paused.until,
        labels=body["metadata"].get("labels") or {},
    )


def in_words(spec: SystemConfigSpec) -> str:
    """Say what is in force in one line, for `kubectl get`."""
    resets = "off" if not spec.auto_reset_enabled else "dry run" if spec.dry_run else "on"
    seconds = spec.stale_timeout_ms / 1000
    stopped = "everything is stopped; " if spec.global_stop is not None else ""
    return (
        f"{stopped}down after {seconds:g} s; automatic resets {resets},"
        f" at most {spec.max_reset_attempts};"
        f" warning above {spec.cpu_threshold:g} % CPU or {spec.ram_threshold:g} % RAM"
    )
