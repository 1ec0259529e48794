"""The commands that install an agent, in one place: the dashboard and the documentation show these.

The token goes to curl over standard input and to PowerShell as a header, never as an argument of a
program that every user could see.
"""

from defib_api import agent_files
from defib_api.agent_files import PLACEHOLDER, Address
from defib_api.schemas.install import Install


def install_texts(server: Address) -> Install:
    """Fill the server's address into all of them. Raises AgentFilesMissing."""
    return Install(
        server=server.url,
        placeholder=PLACEHOLDER,
        linux=_linux(server, "sudo sh", with_token=True),
        linux_dry_run=_linux(server, "sudo sh -s -- --dry-run", with_token=True),
        linux_upgrade=_linux(server, "sudo sh -s -- --upgrade"),
        linux_uninstall=_linux(server, "sudo sh -s -- --uninstall"),
        windows=_windows(server, "", with_token=True),
        windows_dry_run=_windows(server, " -DryRun", with_token=True),
        windows_uninstall=_windows(server, " -Uninstall"),
        cloud_init=agent_files.example("cloud-init.yaml", server),
        ansible=agent_files.example("ansible.yaml", server),
        agent_sha256=agent_files.sha256_of(agent_files.LINUX_AGENT),
        windows_agent_sha256=agent_files.sha256_of(agent_files.WINDOWS_AGENT),
    )


def _linux(server: Address, shell: str, *, with_token: bool = False) -> str:
    if not with_token:
        return f"curl -fsS {server.url}/install.sh | {shell}"
    header = f"printf 'X-Enrolment-Token: %s\\n' {PLACEHOLDER}"
    return f"{header} | curl -fsS -H @- {server.url}/install.sh | {shell}"


def _windows(server: Address, arguments: str, *, with_token: bool = False) -> str:
    header = f" -Headers @{{'X-Enrolment-Token' = '{PLACEHOLDER}'}}" if with_token else ""
    fetched = f"(Invoke-RestMethod -UseBasicParsing{header} {server.url}/install.ps1)"
    return f"& ([scriptblock]::Create({fetched})){arguments}"
