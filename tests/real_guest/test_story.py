"""A real guest is healed: kernel, agent and network are real, and QEMU does what Proxmox is told.

Only Proxmox's HTTP face is simulated. The guest runs under software emulation, so its times are
generous; nothing here depends on how fast it is.
"""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from defib_dev import guest_image
from defib_dev.components.errors import MissingComponentError
from support.folders import server_folder
from support.live_stack import LiveStack, running_stack
from support.waiting import eventually

AGENT = Path(__file__).parents[2] / "agents" / "linux" / "linux-agent.sh"
NAME, VMID, UUID = "real-guest", 150, "5b0c1a58-0000-4000-8000-0000000000aa"
DEADLINE = 240
# Longer than both waits and the start of everything, so that a wait says what was missing.
pytestmark = pytest.mark.timeout(900)
RESOURCES = f"""
apiVersion: defib.dev/v1alpha1
kind: SystemConfig
metadata: {{name: default}}
spec:
  reportIntervalSeconds: 3
  staleTimeoutMs: 20000
  staleCheckIntervalSeconds: 2
  bootGraceSeconds: 300
  safety: {{ioWindowSeconds: 5, stormCooldownSeconds: 10}}
---
apiVersion: defib.dev/v1alpha1
kind: VirtualMachine
metadata: {{name: {NAME}}}
spec: {{vmid: {VMID}, hostname: {NAME}}}
"""
SETTINGS = f"""
DEFIB_URL=http://10.0.2.100:3000
DEFIB_HOSTNAME={NAME}
DEFIB_INTERVAL=3
"""


@dataclass(frozen=True)
class RealGuest:
    """The guest, from where a person could look at it."""

    stack: LiveStack
    folder: Path

    def crash(self) -> None:
        """Have its kernel panic, by its serial console."""
        with socket.socket(socket.AF_UNIX) as console:
            console.connect(str(self.folder / "console.sock"))
            console.sendall(b"crash\n")

    def boots(self) -> list[str]:
        """The boot ids it told its console."""
        said = (self.folder / "console.log").read_text(errors="replace")
        return [
            line.split()[-1] for line in said.splitlines() if line.startswith("guest: booted as ")
        ]

    def state(self) -> str | None:
        """Its state, as the API has it."""
        state: str | None = self.stack.vm(NAME).get("state")
        return state

    def boot_id(self) -> str | None:
        """Its boot id, as the API shows it with its metrics."""
        found: str | None = self.stack.vm(NAME).get("bootId")
        return found

    def reports(self) -> int:
        """How many reports are in its history."""
        vm = self.stack.vm(NAME)
        return len(self.stack.get(f"/api/vms/{vm['id']}/metrics?hours=1")) if vm else 0


@pytest.fixture(scope="module")
def guest() -> Iterator[RealGuest]:
    with server_folder("real-guest") as folder, running_stack(folder / "s", "--no-demo") as stack:
        applied = stack.kubectl("apply", "-f", "-", given=RESOURCES)
        assert applied.returncode == 0, applied.stderr
        image = folder / "guest.cpio"
        try:
            kernel = guest_image.find_kernel()
            guest_image.build(image, kernel, AGENT, SETTINGS, stack.status["agent_key"])
        except MissingComponentError as error:
            pytest.fail(str(error))
        stack.control(
            "POST",
            "/control/guests",
            vmid=VMID,
            name=NAME,
            uuid=UUID,
            qemu={
                "kernel": str(kernel.image),
                "initrd": str(image),
                "folder": str(folder),
                "apiPort": urlsplit(stack.status["api"]).port,
            },
        )
        yield RealGuest(stack, folder)


def test_a_guest_whose_kernel_panics_is_reset_and_comes_back(guest: RealGuest) -> None:
    """From the freeze to the proven recovery."""
    stack = guest.stack

    # It names no vmid: Defib knows it by the SMBIOS UUID that stands in Proxmox's configuration.
    eventually(
        lambda: guest.state() == "healthy" and guest.reports() > 3,
        what="the guest reports, and is armed",
        deadline_seconds=DEADLINE,
    )
    [first_boot] = guest.boots()

    guest.crash()

    def recovered() -> dict[str, Any] | None:
        history = stack.resets(NAME)
        return next((one for one in history if one["recoveredAt"]), None)

    reset = eventually(recovered, what="it is reset and back", deadline_seconds=DEADLINE)
    assert reset is not None
    assert reset["reason"] == "Auto-reset: stale VM"
    assert reset["success"] is True
    assert reset["upid"].startswith("UPID:")
    assert guest.boots()[0] == first_boot
    assert len(set(guest.boots())) == 2
    assert "Kernel panic" in (guest.folder / "console.log").read_text(errors="replace")
    [shown] = stack.control("GET", "/control/guests")["guests"]
    assert (shown["power"], shown["resets"]) == ("running", 1)
    posts = [post["action"] for post in stack.control("GET", "/control/state")["posts"]]
    assert posts == ["reset"]
    eventually(lambda: guest.state() == "healthy", what="it is healthy", deadline_seconds=60)
