"""Our own webhook: a POST, signed as Standard Webhooks has it, so that the receiver can trust it.

The signature is an HMAC-SHA256 of `id.timestamp.body`. The id stays the same when a message is sent
again, so that the receiver can tell. Redirections are not followed.
"""

import base64
import hashlib
import hmac
import ssl
import time

import httpx
import msgspec

from defib_core.store.notices import Delivery
from defib_notify.configuration import Webhook, key_of
from defib_notify.guard import AddressRefused, Networks, guarded
from defib_notify.undelivered import Undelivered
from defib_notify.wording import body_of

WAIT_SECONDS = 10.0
WORTH_ANOTHER_TRY = frozenset({408, 425, 429})
CLIENT_ERROR, SERVER_ERROR = 400, 500


async def send(
    webhook: Webhook, delivery: Delivery, allowed: Networks, trust: ssl.SSLContext | None = None
) -> None:
    """Send it; raises Undelivered unless the answer is 2xx."""
    body = msgspec.json.encode(body_of(delivery))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Defib",
        **signed(key_of(webhook.secret), f"msg_{delivery.id}", int(time.time()), body),
    }
    try:
        with guarded(allowed):
            async with httpx.AsyncClient(
                trust_env=False, timeout=WAIT_SECONDS, verify=trust or True
            ) as http:
                answer = await http.post(webhook.url, content=body, headers=headers)
    except AddressRefused as error:
        raise Undelivered(str(error), is_final=True) from error
    except httpx.HTTPError as error:
        raise _undelivered(error) from error
    except httpx.InvalidURL as error:
        raise Undelivered("its address is none", is_final=True) from error
    if not answer.is_success:
        status = answer.status_code
        is_final = status < SERVER_ERROR and status not in WORTH_ANOTHER_TRY
        raise Undelivered(f"it was answered {status}", is_final=is_final)


def signed(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Make the headers that say who sent what and when."""
    content = b".".join((message_id.encode(), str(timestamp).encode(), body))
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def _undelivered(error: BaseException) -> Undelivered:
    """Say what kept it from being sent: a refusal of ours may stand behind httpx's own error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused):
            return Undelivered(str(cause), is_final=True)
        cause = cause.__cause__ or cause.__context__
    return Undelivered(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
