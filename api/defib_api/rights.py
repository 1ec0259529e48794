"""Who may do what: the one table from each operation to the role it needs.

An operation that is not in it needs an administrator; a test finds it all the same.
"""

from collections.abc import Mapping

from defib_core.domain.roles import Role

VIEWER, OPERATOR, ADMINISTRATOR = Role.VIEWER, Role.OPERATOR, Role.ADMINISTRATOR

NEEDED: Mapping[str, Role] = {
    "getMe": VIEWER,
    "endSession": VIEWER,
    "getStatus": VIEWER,
    "getFleet": VIEWER,
    "listNodes": VIEWER,
    "listLabels": VIEWER,
    "getSparklines": VIEWER,
    "getSystem": VIEWER,
    "listConfigs": VIEWER,
    "listVms": VIEWER,
    "getVm": VIEWER,
    "getVmMetrics": VIEWER,
    "getVmResetHistory": VIEWER,
    "getVmTimeline": VIEWER,
    "getVmHolds": VIEWER,
    "getReset": VIEWER,
    "explainVm": VIEWER,
    "listMaintenance": VIEWER,
    "getGlobalStop": VIEWER,
    "getAudit": VIEWER,
    "getInstall": VIEWER,
    "getEvents": VIEWER,
    "getCoverage": VIEWER,
    "listNotifications": VIEWER,
    "resetVm": OPERATOR,
    "pauseVm": OPERATOR,
    "unpauseVm": OPERATOR,
    "clearVm": OPERATOR,
    "openMaintenance": OPERATOR,
    "endMaintenance": OPERATOR,
    "beginGlobalStop": OPERATOR,
    "endGlobalStop": OPERATOR,
    "createEnrolmentToken": ADMINISTRATOR,
    "listEnrolmentTokens": ADMINISTRATOR,
    "revokeEnrolmentToken": ADMINISTRATOR,
    "listAgentTokens": ADMINISTRATOR,
    "rotateAgentToken": ADMINISTRATOR,
    "revokeAgentToken": ADMINISTRATOR,
    "createPersonalToken": ADMINISTRATOR,
    "listPersonalTokens": ADMINISTRATOR,
    "revokePersonalToken": ADMINISTRATOR,
    "listSessions": ADMINISTRATOR,
    "endSessionOf": ADMINISTRATOR,
    "endSessionsOf": ADMINISTRATOR,
}
OPEN: Mapping[str, str] = {
    "report": "an agent's token is checked before FastAPI sees the request",
    "reports": "an agent's or a relay's token is checked before FastAPI sees the request",
    "enroll": "an enrolment token is checked",
    "getSignIn": "for the page, before anybody has signed in; names no host and no person",
    "beginSession": "the token that is shown is checked, whatever its role",
    "getLiveness": "for probes; says nothing",
    "getReadiness": "for probes; names hosts",
}
"""Operations that ask for no role, and why."""


def needed_for(operation_id: str | None) -> Role:
    """Say which role an operation needs."""
    return NEEDED.get(operation_id or "", ADMINISTRATOR)
