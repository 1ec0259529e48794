"""No secret of the stack is in any line that its programs log."""

from pathlib import Path

from support.live_stack import LiveStack

OURS = ("api", "operator", "proxmox-sim", "fleet", "story")


def secrets_of(stack: LiveStack) -> dict[str, str]:
    """Every token, key and password of the stack, by the file it is in."""
    found = {
        file.name: file.read_text().strip()
        for file in (stack.folder / "secrets").iterdir()
        if not file.name.endswith("-url")
    }
    return {name: secret for name, secret in found.items() if secret}


def test_no_secret_is_in_the_logs(stack: LiveStack) -> None:
    secrets = secrets_of(stack)
    assert {"admin-token", "agent-key", "database-password", "proxmox-token-secret"} <= set(secrets)
    # A wrong key, a wrong token and a right one, each where an error may be logged.
    stack.report(hostname="x", vmid="100", cpuUsage=900)
    assert stack.get("/api/vms")
    logs = {
        one["name"]: Path(one["log"]).read_text(errors="replace")
        for one in stack.status["processes"]
        if one["name"] in OURS
    }
    assert {"api", "operator"} <= set(logs)
    assert all(logs[name] for name in ("api", "operator"))
    told = [
        f"{secret} in the log of {name}"
        for name, text in logs.items()
        for secret, value in secrets.items()
        if value in text
    ]
    assert told == []
