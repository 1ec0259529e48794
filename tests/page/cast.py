"""The VMs of these tests, and the ways to hang them."""

from dataclasses import dataclass
from typing import Any

from support.live_stack import LiveStack
from support.waiting import eventually

STORY, MANUAL, LOCKED, LONELY, FAILING = (
    "story-01",
    "manual-01",
    "locked-01",
    "lonely-01",
    "failing-01",
)
VMIDS = {STORY: 2101, MANUAL: 2102, LOCKED: 2103, LONELY: 2104, FAILING: 2105}
FOREVER_SECONDS = 100_000
ONE_ATTEMPT = f"""
apiVersion: defib.dev/v1alpha1
kind: VirtualMachine
metadata: {{name: {LONELY}}}
spec: {{vmid: {VMIDS[LONELY]}, hostname: {LONELY}, remediation: {{maxAttempts: 1}}}}
"""


@dataclass(frozen=True, slots=True)
class Cast:
    """Guests beside those of the demo."""

    stack: LiveStack

    def enter(self) -> None:
        """Have all of them report, then hang the one that no reset brings back."""
        applied = self.stack.kubectl("apply", "-f", "-", given=ONE_ATTEMPT)
        assert applied.returncode == 0, applied.stderr
        for number, (name, vmid) in enumerate(VMIDS.items()):
            node = f"pve-node-{number % 3 + 1}"
            self.stack.control(
                "POST", "/control/guests", vmid=vmid, name=name, node=node, bootSeconds=8
            )
        eventually(self._armed, what="the cast is armed", deadline_seconds=120)
        self.change(LONELY, bootSeconds=FOREVER_SECONDS, frozen=True)

    def change(self, name: str, **changes: object) -> None:
        """Change a guest in the simulated world."""
        self.stack.control("PATCH", f"/control/guests/{VMIDS[name]}", **changes)

    def vm_id(self, name: str) -> str:
        """Its id in the API."""
        found: str = self.stack.vm(name)["id"]
        return found

    def now(self, name: str) -> dict[str, Any]:
        """The VM as it is now; lists may be some seconds old."""
        found: dict[str, Any] = self.stack.get(f"/api/vms/{self.vm_id(name)}")
        return found

    def wait(self, name: str, state: str) -> None:
        """Wait until the API says that it is in a state."""
        eventually(
            lambda: self.stack.vm(name).get("state") == state,
            what=f"{name} is {state}",
            deadline_seconds=180,
        )

    def _armed(self) -> bool:
        """Each has its object and has reported often enough to be reset."""
        return all(
            self.stack.object("dvm", name).get("status", {}).get("health") == "healthy"
            and not self._observed(name)
            for name in VMIDS
        )

    def _observed(self, name: str) -> bool:
        vm = self.stack.vm(name)
        checks = self.stack.get(f"/api/vms/{vm['id']}/explain")["checks"] if vm else []
        return not vm or any(
            one["reason"] == "Observing" and one["status"] == "holds" for one in checks
        )
