"""Every answer to a report that is not a 200, in words for the person who reads the agent's log."""

import secrets

import structlog

from defib_api.answers import Answer, failure, retry_after
from defib_api.ingest.backlog import BacklogFull, Outcome, TooManyOfOneVM
from defib_api.ingest.body import TOO_SLOW, TooSlow
from defib_api.ingest.explain import FieldError
from defib_api.ingest.registered import RegistrationsFull
from defib_api.ingest.writer import DatabaseAway
from defib_api.keys import KeysUnknown
from defib_core.store.failures import explain, is_away
from defib_core.store.registry import NotRegistrable

log = structlog.get_logger(__name__)

AWAY_SECONDS, BUSY_SECONDS, FIND_SECONDS = 5, 2, 15

UNAUTHORIZED = ((b"www-authenticate", b'ApiKey realm="defib", header="X-API-Key"'),)
NO_KEY = failure(
    401,
    "the X-API-Key header is missing; send the token the machine got when it enrolled, or the agent"
    " key that `defib token create` printed",
    headers=UNAUTHORIZED,
)
WRONG_KEY = failure(
    401,
    "the key in the X-API-Key header is not valid: it is unknown, expired or revoked",
    headers=UNAUTHORIZED,
)
NOT_AN_AGENT_KEY = failure(
    401,
    "the X-API-Key header holds an administrator's token; agents need a key of their own,"
    " from `defib token create`",
    headers=UNAUTHORIZED,
)
NOT_A_RELAY = failure(
    401,
    "the token in the X-Relay-Token header is not valid: it is unknown or revoked; make one with"
    " `defib relay create`",
)
NO_DIGEST = failure(400, "keyDigest is missing; a relay sends the SHA-256 of each agent's key")
OTHER_CLUSTER = failure(403, "the agent's key is for another Proxmox cluster than its relay's")
NOT_JSON = failure(415, "send the report as JSON in UTF-8, with Content-Type: application/json")
DATABASE_AWAY = failure(
    503,
    "the report was not stored: the database cannot be reached now; send it again",
    headers=retry_after(AWAY_SECONDS),
)
BUSY = failure(
    503,
    "the report was not stored: more reports are waiting than can be stored; send it again",
    headers=retry_after(BUSY_SECONDS),
)
TOO_MANY = failure(
    429,
    "the report was not stored: this VM has several reports waiting already; is more than one"
    " agent running, or are two VMs configured with the same vmid?",
    headers=retry_after(BUSY_SECONDS),
)
NOT_REGISTRABLE = failure(
    503,
    "the report was not stored: the key's ProxmoxCluster was removed, or its namespace has no"
    " SystemConfig named default; apply it, or use another key",
    headers=retry_after(AWAY_SECONDS),
)
NOT_STORED = failure(500, "the report was not stored: the database refused its values; see the log")
NOT_FOUND_YET = failure(
    503,
    "the report was not stored: which VM has this smbiosUuid is being looked up in Proxmox; send it"
    " again. If this stays, set the VM's number in Proxmox (vmid) in the agent's configuration",
    headers=retry_after(FIND_SECONDS),
)
SHARED_OFF = failure(
    403,
    "shared agent keys are switched off here (DEFIB_SHARED_AGENT_KEYS): enrol this machine for a"
    " token of its own",
)
NO_VMID_NO_UUID = (
    "is missing, and so is smbiosUuid; set the VM's number in Proxmox (its VMID) in the agent's"
    " configuration"
)


def several_vmids(vmids: tuple[int, ...]) -> str:
    """Say that an SMBIOS UUID alone does not tell which VM it is."""
    listed = " and ".join(str(vmid) for vmid in vmids)
    return (
        f"is missing, and VMs {listed} have the report's smbiosUuid; set the VM's number in Proxmox"
        " (its VMID) in the agent's configuration"
    )


def invalid(errors: list[FieldError]) -> Answer:
    """Answer a report that cannot be read: what is wrong with each field."""
    listed = [{"field": one.field, "message": one.message} for one in errors]
    first = f"{errors[0].field} {errors[0].message}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return failure(400, f"the report was refused: {first}{more}", errors=listed)


def flooding(seconds: int) -> Answer:
    """Answer a VM that has sent more reports than it may."""
    return failure(
        429,
        "the report was not stored: this VM sends far more reports than one agent does; is more"
        " than one agent running, or are two VMs configured with the same vmid?",
        headers=retry_after(seconds),
    )


def answer_of(outcome: Outcome, hostname: str) -> Answer:
    """Answer a report that was queued."""
    match outcome:
        case Outcome.STORED:
            # A host name needs no escaping; report.py holds it to letters, digits and "-_.".
            name = hostname.encode("ascii")
            body = b'{"success":true,"message":"Health report received for %s"}' % name
            return Answer(200, body)
        case Outcome.REFUSED:
            return NOT_STORED
        case Outcome.TOO_MANY:
            return TOO_MANY
        case Outcome.AWAY | Outcome.MISSING:
            return DATABASE_AWAY


BY_ERROR: tuple[tuple[type[Exception], Answer], ...] = (
    (TooSlow, TOO_SLOW),
    (TooManyOfOneVM, TOO_MANY),
    (BacklogFull, BUSY),
    (RegistrationsFull, BUSY),
    (KeysUnknown, DATABASE_AWAY),
    (DatabaseAway, DATABASE_AWAY),
    (NotRegistrable, NOT_REGISTRABLE),
)


def answer_to(error: Exception) -> Answer:
    """Answer a report that an error kept from being stored."""
    for kind, answer in BY_ERROR:
        if isinstance(error, kind):
            return answer
    if is_away(error):
        log.warning("ingest.database_away", error=explain(error))
        return DATABASE_AWAY
    request_id = secrets.token_hex(8)
    log.error("ingest.failed", request_id=request_id, exc_info=error)
    return failure(
        500,
        f"the report was not stored: an error on our side; request {request_id} in the API's log",
        requestId=request_id,
    )
