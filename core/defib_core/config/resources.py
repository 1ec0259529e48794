"""The names under which Kubernetes knows our custom resources, and the words people put on them.

Names only; a contract test holds them to `crds/`.
"""

from dataclasses import dataclass

GROUP = "defib.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

DEFAULT_NAME = "default"
"""The SystemConfig and ProxmoxCluster that apply where a VirtualMachine names none."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A custom resource definition."""

    kind: str
    plural: str
    short_name: str

    @property
    def crd_name(self) -> str:
        """The name of the CustomResourceDefinition object."""
        return f"{self.plural}.{GROUP}"


VIRTUAL_MACHINE = Resource("VirtualMachine", "virtualmachines", "dvm")
SYSTEM_CONFIG = Resource("SystemConfig", "systemconfigs", "dsc")
PROXMOX_CLUSTER = Resource("ProxmoxCluster", "proxmoxclusters", "dpc")
RESOURCES = (VIRTUAL_MACHINE, SYSTEM_CONFIG, PROXMOX_CLUSTER)

REGISTERED_BY_LABEL = f"{GROUP}/registered-by"
REGISTERED_BY_AGENT = "agent"

RESET_REQUESTED_ANNOTATION = f"{GROUP}/reset-requested"
"""A person's wish for one reset now: an RFC 3339 time, ignored when older than five minutes."""
RESET_REASON_ANNOTATION = f"{GROUP}/reset-reason"
"""Why; goes into the reset history."""
RESET_FORCE_ANNOTATION = f"{GROUP}/reset-force"
"""`"true"` beside the request: also where the automatic attempts are used up."""

CLEAR_REQUESTED_ANNOTATION = f"{GROUP}/clear-requested"
"""A person's wish to set the counter of attempts back: the same rules as of a reset."""
CLEAR_REASON_ANNOTATION = f"{GROUP}/clear-reason"
"""Why; goes into the audit log."""
