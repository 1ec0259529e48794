"""Ports for whole stacks."""

import random

from defib_dev.components import ports
from defib_dev.components.errors import PortInUseError
from defib_dev.stack.layout import StackPorts

_NAMES = (
    "api",
    "postgres",
    "valkey",
    "apiserver",
    "etcd",
    "etcd_peer",
    "proxmox",
    "proxmox_control",
    "operator_probes",
    "api_metrics",
    "operator_metrics",
)


def free_offset() -> int:
    """A `--port-offset` at which every port of a stack is free now."""
    chance = random.SystemRandom()
    for _ in range(100):
        offset = chance.randrange(1_000, 20_000)
        if _is_free(StackPorts(offset)):
            return offset
    raise AssertionError("no offset with free ports in 100 tries")


def _is_free(wanted: StackPorts) -> bool:
    try:
        for name in _NAMES:
            ports.require_free(getattr(wanted, name), needed_by=name)
    except PortInUseError:
        return False
    return True
