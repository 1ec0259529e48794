"""The bodies of everything that went wrong."""

from typing import Literal

from pydantic import Field

from defib_api.schemas.base import ApiModel


class Failure(ApiModel):
    """Something went wrong; `message` is for the person who reads it."""

    success: Literal[False] = False
    message: str


class FieldFailure(ApiModel):
    """What is wrong with one field; `body` where it is the whole."""

    field: str
    message: str


class Invalid(Failure):
    """The request was refused; each field that is wrong is listed."""

    errors: list[FieldFailure]


class Conflict(Failure):
    """A reset was not sent, and why."""

    reason: str = Field(description="The code of the hold, or ResetInProgress, or DryRun.")
    reset_id: str


class Broken(Failure):
    """An error on our side; the log has it under `requestId`."""

    request_id: str | None = None


class ResetFailure(Broken):
    """Proxmox refused or failed the reset, or nobody knows; or an error on our side."""

    proxmox_error: str | None = Field(default=None, description="Proxmox's own words.")
    reset_id: str | None = None
