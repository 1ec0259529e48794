"""In which order the endpoints of a cluster are asked, and whether they are of one. Does no I/O."""

from collections.abc import Iterable
from ipaddress import ip_address

from defib_operator.proxmox.settings import host_and_port


class EndpointOrder:
    """The last good endpoint first, and the node in question last: it may hang with its VM."""

    def __init__(self, endpoints: Iterable[str]) -> None:
        self._endpoints = tuple(dict.fromkeys(endpoints))
        self._last_good = self._endpoints[0]
        self._node_of: dict[str, str] = {}

    def for_node(self, node: str | None) -> tuple[str, ...]:
        """All endpoints, best first, for a question about this node (None: the cluster)."""

        def rank(endpoint: str) -> tuple[bool, bool]:
            about_itself = node is not None and self._is_node(endpoint, node)
            return about_itself, endpoint != self._last_good

        return tuple(sorted(self._endpoints, key=rank))

    def answered(self, endpoint: str) -> None:
        """Ask this one first from now on."""
        self._last_good = endpoint

    def learn(self, endpoint: str, node: str) -> None:
        """Take note which node an endpoint is, as it said itself."""
        self._node_of[endpoint] = node

    def _is_node(self, endpoint: str, node: str) -> bool:
        if endpoint in self._node_of:
            return self._node_of[endpoint] == node
        host, _ = host_and_port(endpoint)
        return not _is_address(host) and host.split(".")[0].lower() == node.lower()


class Kinship:
    """Of which cluster each endpoint is. Where there is one endpoint only, nobody needs to know."""

    def __init__(self, endpoints: Iterable[str]) -> None:
        self._are_several = len(set(endpoints)) > 1
        self._family: dict[str, str | None] = {}

    def is_asked_for(self, endpoint: str) -> bool:
        """Whether it has yet to say of which cluster it is."""
        return self._are_several and endpoint not in self._family

    def learn(self, endpoint: str, family: str | None) -> None:
        """Take note of which cluster it is, as it said itself; None: it may not say."""
        self._family[endpoint] = family

    def objection(self, endpoint: str) -> str | None:
        """Say why it must not be used: it is of another cluster than the first that was asked."""
        mine = self._family.get(endpoint)
        known = ((one, family) for one, family in self._family.items() if family is not None)
        first, family = next(known, (endpoint, mine))
        if mine is None or mine == family:
            return None
        return (
            f"{endpoint} is of {mine}, and {first} of {family}: a ProxmoxCluster may name endpoints"
            " of one cluster only"
        )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
