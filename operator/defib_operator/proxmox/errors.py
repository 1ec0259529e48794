"""What can go wrong between us and Proxmox, as exceptions; expected outcomes are values instead.

The text always carries Proxmox's own words where it said any, and never the token.
"""


class ProxmoxError(Exception):
    """Proxmox could not be asked, or did not answer as asked."""

    def __init__(self, text: str, *, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        """The HTTP status, where there was one."""


class ProxmoxMisconfigured(ProxmoxError):
    """The settings cannot work whatever Proxmox says: endpoint, token id or CA bundle."""


class ProxmoxUnreachable(ProxmoxError):
    """No endpoint answered. Says nothing about any VM."""


class ProxmoxNodeUnreachable(ProxmoxUnreachable):
    """The endpoint answered that it could not get through to the node (595 to 599)."""


class ProxmoxUnauthorized(ProxmoxError):
    """401: Proxmox does not know the token, or it has expired."""


class ProxmoxForbidden(ProxmoxError):
    """403: the token is known, and may not do this."""


class ProxmoxNotFound(ProxmoxError):
    """The VM has no configuration on that node: it was moved or deleted. Look it up again."""


class ProxmoxRejected(ProxmoxError):
    """Proxmox refused for another reason: 400, 501, or a 500 with words."""


class ProxmoxGarbage(ProxmoxError):
    """What came back is not an answer of the Proxmox API. Something else may sit in between."""
