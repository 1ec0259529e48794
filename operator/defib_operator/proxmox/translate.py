"""A wire's errors into the exceptions the operator knows.

Keeps Proxmox's words; decides nothing.
"""

import re

from defib_operator.proxmox.errors import (
    ProxmoxError,
    ProxmoxForbidden,
    ProxmoxGarbage,
    ProxmoxNodeUnreachable,
    ProxmoxNotFound,
    ProxmoxRejected,
    ProxmoxUnauthorized,
    ProxmoxUnreachable,
)
from defib_operator.proxmox.outcomes import explained
from defib_operator.proxmox.values import AgentPing
from defib_operator.proxmox.wire import WireError, WireFailure, WireRefusal

NO_CONFIG = re.compile(
    r"unable to find configuration file for VM \d+|Configuration file '[^']*' does not exist"
)
"""Proxmox has two texts for a VM that is not on this node; which one depends on the call."""
UNKNOWN_NODE = re.compile(r"hostname lookup '[^']*' failed")
UNAUTHORIZED = 401
FORBIDDEN = 403
NODE_CODES = range(595, 600)
GATEWAY_CODES = frozenset({502, 503, 504})
AGENT_NOT_CONFIGURED = re.compile(r"No QEMU guest agent configured", re.IGNORECASE)
AGENT_SILENT = re.compile(
    r"guest agent is not running|VM \d+ (is )?not running|'guest-ping' failed", re.IGNORECASE
)


def translated(error: WireError, question: str) -> ProxmoxError:
    """Name the exception for a question (`status of VM 100 on pve1`) that was not answered."""
    if isinstance(error, WireFailure):
        return ProxmoxUnreachable(f"{question}: {error}")
    if isinstance(error, WireRefusal):
        kind = _kind(error.status, error.words)
        return kind(f"{question}: Proxmox says {explained(error)}", status=error.status)
    return ProxmoxGarbage(f"{question}: {error}")


def ping_of(error: WireError) -> AgentPing:
    """Read what a ping that failed says of the guest agent."""
    if not isinstance(error, WireRefusal):
        return AgentPing.UNKNOWN
    if error.status == FORBIDDEN:
        return AgentPing.FORBIDDEN
    if AGENT_NOT_CONFIGURED.search(error.words):
        return AgentPing.NOT_CONFIGURED
    return AgentPing.SILENT if AGENT_SILENT.search(error.words) else AgentPing.UNKNOWN


def _kind(status: int, words: str) -> type[ProxmoxError]:
    if status == UNAUTHORIZED:
        return ProxmoxUnauthorized
    if status == FORBIDDEN:
        return ProxmoxForbidden
    if status in NODE_CODES or UNKNOWN_NODE.search(words):
        return ProxmoxNodeUnreachable
    if status in GATEWAY_CODES:
        return ProxmoxUnreachable
    return ProxmoxNotFound if NO_CONFIG.search(words) else ProxmoxRejected
