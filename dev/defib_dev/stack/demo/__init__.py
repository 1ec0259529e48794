"""The demo: a small Proxmox cluster, its agents, and one VM that hangs by itself.

Shortened timeouts make it quick; they come through a SystemConfig, as a user's would.
"""

from pathlib import Path

_FOLDER = Path(__file__).parent

INVENTORY = _FOLDER / "inventory.yaml"
RESOURCES = _FOLDER / "resources.yaml"

STORY_HOSTNAME = "mail-server-01"
STORY_VMID = 106
"""The VM that hangs shortly after the stack is up, so that a newcomer sees one healed."""

BUSY_VMID = 107
"""The VM whose CPU is above the threshold: a warning to look at."""
