"""The ids the API shows: `vm_123`, `reset_45`, `maintenance_6`, `audit_78`, `session_9`.

What does not look so belongs to nothing.
"""

import re

VM_ID = re.compile(r"\Avm_([1-9][0-9]{0,17})\Z")
RESET_ID = re.compile(r"\Areset_([1-9][0-9]{0,17})\Z")
WINDOW_ID = re.compile(r"\Amaintenance_([1-9][0-9]{0,17})\Z")
ENROLMENT_ID = re.compile(r"\Aenrolment_([1-9][0-9]{0,8})\Z")
AGENT_TOKEN_ID = re.compile(r"\Aagent_token_([1-9][0-9]{0,8})\Z")
PERSONAL_TOKEN_ID = re.compile(r"\Apersonal_token_([1-9][0-9]{0,8})\Z")
API_TOKEN_ID = re.compile(r"\Aapi_token_([1-9][0-9]{0,8})\Z")
SESSION_ID = re.compile(r"\Asession_([1-9][0-9]{0,17})\Z")
AUDIT_ID = re.compile(r"\Aaudit_([1-9][0-9]{0,17})\Z")


def vm_id_text(vm_id: int) -> str:
    """Write the id of a VM."""
    return f"vm_{vm_id}"


def reset_id_text(intent_id: int) -> str:
    """Write the id of a reset."""
    return f"reset_{intent_id}"


def window_id_text(window_id: int) -> str:
    """Write the id of a maintenance window."""
    return f"maintenance_{window_id}"


def audit_id_text(line_id: int) -> str:
    """Write the id of a line of the audit log."""
    return f"audit_{line_id}"


def enrolment_id_text(token_id: int) -> str:
    """Write the id of an enrolment token."""
    return f"enrolment_{token_id}"


def agent_token_id_text(token_id: int) -> str:
    """Write the id of the token of a single VM."""
    return f"agent_token_{token_id}"


def personal_token_id_text(token_id: int) -> str:
    """Write the id of a person's or program's token."""
    return f"personal_token_{token_id}"


def api_token_id_text(token_id: int) -> str:
    """Write the id of a shared agent's key."""
    return f"api_token_{token_id}"


def session_id_text(session_id: int) -> str:
    """Write the id of a browser's session."""
    return f"session_{session_id}"


def read_id(pattern: re.Pattern[str], text: str) -> int | None:
    """Read an id back; None where it is none."""
    match = pattern.match(text)
    return None if match is None else int(match[1])
