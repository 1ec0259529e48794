"""The main job as its users see it, on real parts: only Proxmox and the guests are simulated."""

import os
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.live_stack import LiveStack
from support.waiting import eventually

AGENT = Path(__file__).parents[2] / "agents" / "linux" / "linux-agent.sh"
DEMO_FROZEN = "mail-server-01"
DEADLINE = 180


@pytest.fixture(scope="module")
def healed(stack: LiveStack) -> dict[str, Any]:
    """The demo's VM that hangs by itself, once it is healthy again after its reset."""

    def recovered() -> dict[str, Any] | None:
        vm = stack.vm(DEMO_FROZEN)
        history = stack.resets(DEMO_FROZEN) if vm else []
        back = vm.get("state") == "healthy" and history and history[0]["recoveredAt"]
        return vm if back else None

    found = eventually(recovered, what="the frozen VM is healed", deadline_seconds=DEADLINE)
    assert found is not None
    return found


def test_a_frozen_vm_is_reset_once_and_recovers(stack: LiveStack, healed: dict[str, Any]) -> None:
    history = stack.resets(DEMO_FROZEN)

    assert len(history) == 1
    assert history[0]["reason"] == "Auto-reset: stale VM"
    assert history[0]["success"] is True
    assert history[0]["upid"].startswith("UPID:")
    posts = [
        post
        for post in stack.control("GET", "/control/state")["posts"]
        if post["vmid"] == int(healed["vmid"])
    ]
    assert [post["action"] for post in posts] == ["reset"]


def test_kubectl_tells_the_frozen_vms_story(stack: LiveStack, healed: dict[str, Any]) -> None:
    def settled() -> dict[str, Any] | None:
        status = stack.object("dvm", DEMO_FROZEN).get("status", {})
        return status if status.get("health") == "healthy" else None

    status = eventually(settled, what="the status shows it healthy", deadline_seconds=30)
    assert status is not None
    table = stack.kubectl("get", "dvm", DEMO_FROZEN, "-o", "wide").stdout

    assert status["resetPending"] is False
    assert status["lastReset"]["outcome"] == "succeeded"
    assert {one["type"] for one in status["conditions"]} == {
        "Ready",
        "Healthy",
        "RemediationAllowed",
    }
    for word in ("healthy", healed["node"], healed["vmid"], "HeartbeatFresh"):
        assert word in table
    reasons = {event["reason"] for event in stack.events_of(DEMO_FROZEN)}
    assert {"HeartbeatMissing", "ResetSucceeded", "HeartbeatFresh"} <= reasons


def test_a_manual_reset_by_http_is_sent_and_answered(stack: LiveStack) -> None:
    vm = eventually(lambda: stack.vm("files-01"), what="files-01 reports", deadline_seconds=60)

    with stack.api as client:
        answer = client.post(f"/api/vms/{vm['id']}/reset", json={"reason": "asked by a test"})

    # 200 and not 202: the operator was done within the API's patience of under five seconds.
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "message": "Reset command sent to files-01",
        "resetAttempts": 1,
    }
    assert stack.resets("files-01")[0]["reason"] == "asked by a test"
    eventually(
        lambda: stack.object("dvm", "files-01")["status"].get("resetAttempts") == 1,
        what="kubectl shows the attempt",
        deadline_seconds=30,
    )


def test_a_reset_that_proxmox_refuses_answers_with_its_words(stack: LiveStack) -> None:
    vm = eventually(
        lambda: stack.vm("build-agent-02"), what="build-agent-02 reports", deadline_seconds=60
    )
    stack.control("POST", "/control/next-post", outcome="http500")

    with stack.api as client:
        answer = client.post(f"/api/vms/{vm['id']}/reset", json={"reason": "will be refused"})

    newest = stack.resets("build-agent-02")[0]
    assert answer.status_code == 500
    assert answer.json()["success"] is False
    assert newest["error"] in answer.json()["message"]
    assert newest["success"] is False
    assert newest["phase"] == "failed"


def test_a_manifest_takes_effect_and_an_invalid_one_is_refused_readably(stack: LiveStack) -> None:
    manifest = """
apiVersion: defib.dev/v1alpha1
kind: VirtualMachine
metadata: {name: by-hand, labels: {team: storage}}
spec: {vmid: 999, hostname: by-hand}
"""
    assert stack.kubectl("apply", "-f", "-", given=manifest).returncode == 0

    def monitored() -> bool:
        conditions = stack.object("dvm", "by-hand").get("status", {}).get("conditions", [])
        return any(one["reason"] == "Monitored" for one in conditions)

    eventually(monitored, what="the manifest is in force", deadline_seconds=30)
    shown = eventually(lambda: stack.vm("by-hand"), what="the API shows it")
    assert (shown["health"], shown["labels"]) == ("unknown", {"team": "storage"})

    invalid = manifest.replace("vmid: 999", "vmid: 7").replace("by-hand", "by-mistake")
    refused = stack.kubectl("apply", "-f", "-", given=invalid)
    assert refused.returncode != 0
    assert "spec.vmid" in refused.stderr
    assert "100" in refused.stderr


def test_an_edit_of_the_systemconfig_takes_effect(stack: LiveStack) -> None:
    patch = '{"spec": {"cpuThreshold": 3}}'
    edited = stack.kubectl("patch", "dsc", "default", "--type=merge", "--patch", patch)
    assert edited.returncode == 0, edited.stderr

    eventually(
        lambda: stack.get("/api/status")["config"]["cpuThreshold"] == 3,
        what="the API shows the new threshold",
    )
    eventually(
        lambda: stack.vm("app-server-01").get("health") == "warning",
        what="a VM above the new threshold is warned of",
        deadline_seconds=30,
    )
    back = '{"spec": {"cpuThreshold": 80}}'
    assert stack.kubectl("patch", "dsc", "default", "--type=merge", "--patch", back).returncode == 0
    refused = stack.kubectl(
        "patch", "dsc", "default", "--type=merge", "--patch", '{"spec": {"cpuThreshold": 101}}'
    )
    assert refused.returncode != 0
    assert "cpuThreshold" in refused.stderr


def test_the_real_linux_agent_appears_with_plausible_figures(
    stack: LiveStack, tmp_path: Path
) -> None:
    key = tmp_path / "agent.key"
    key.write_text(stack.status["agent_key"])
    key.chmod(0o600)
    environment = {
        "PATH": os.environ["PATH"],
        "DEFIB_URL": stack.status["api"],
        "DEFIB_KEY_FILE": str(key),
        "DEFIB_VMID": "4242",
        "DEFIB_NODE": "pve-node-1",
        "DEFIB_HOSTNAME": "this-machine",
    }

    once = subprocess.run(
        ["sh", str(AGENT), "--once"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert once.returncode == 0, once.stderr
    vm = eventually(lambda: stack.vm("this-machine"), what="the agent's machine is a VM")
    memory = psutil.virtual_memory()
    assert vm["vmid"] == "4242"
    assert abs(vm["ramTotal"] - memory.total / 2**20) < 2
    assert 0 < vm["ramUsage"] < vm["ramTotal"]
    assert 0 <= vm["cpuUsage"] <= 100
    assert abs(vm["diskTotal"] - psutil.disk_usage("/").total / 2**20) < 2
    registered = eventually(
        lambda: stack.object("dvm", "this-machine"), what="it has a custom resource"
    )
    assert registered["metadata"]["labels"] == {"defib.dev/registered-by": "agent"}
