"""What `/api/install` says."""

from pydantic import Field

from defib_api.schemas.base import ApiModel


class Install(ApiModel):
    """How to install an agent: texts to copy, with the server's address filled in."""

    server: str = Field(description="The server's address in all of them.")
    placeholder: str = Field(description="What an enrolment token is to be put in the place of.")
    linux: str = Field(description="Install, as one line for a shell.")
    linux_dry_run: str = Field(description="The same, only saying what it would do.")
    linux_upgrade: str
    linux_uninstall: str
    windows: str = Field(description="Install, as one line for PowerShell, run as administrator.")
    windows_dry_run: str
    windows_uninstall: str
    cloud_init: str = Field(description="A #cloud-config.")
    ansible: str = Field(description="A playbook.")
    agent_sha256: str = Field(description="SHA-256 of the Linux agent, in hexadecimal.")
    windows_agent_sha256: str
