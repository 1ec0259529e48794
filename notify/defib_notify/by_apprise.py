"""Everything but our own webhook: mail, chats and pagers, through Apprise.

The only module that knows Apprise. It says that a message was not taken and hardly why; what is
written down never holds its URL, which is made of secrets.
"""

import asyncio
import warnings
from typing import cast

from pydantic import SecretStr

from defib_core.domain.notices import Severity
from defib_core.store.notices import Delivery
from defib_notify.guard import Networks, Refusals, guarded
from defib_notify.undelivered import Undelivered
from defib_notify.wording import subject_of, text_of

with warnings.catch_warnings():
    # It looks for modules that Python is about to drop; ours is not the place to hear of it.
    warnings.simplefilter("ignore", DeprecationWarning)
    from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
    from apprise.plugins import N_MGR

    N_MGR.load_modules()  # type: ignore[no-untyped-call]

WAIT_SECONDS = 45.0
TYPES = {
    Severity.INFO: NotifyType.INFO,
    Severity.WARNING: NotifyType.WARNING,
    Severity.CRITICAL: NotifyType.FAILURE,
}


async def send(url: SecretStr, delivery: Delivery, allowed: Networks) -> None:
    """Send it in a thread; raises Undelivered."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await asyncio.to_thread(_send, url.get_secret_value(), delivery, allowed)
    except TimeoutError as error:
        raise Undelivered(f"no answer within {WAIT_SECONDS:.0f} s") from error


def _send(url: str, delivery: Delivery, allowed: Networks) -> None:
    scheme = url.partition("://")[0]
    asset = AppriseAsset(app_id="Defib", app_desc="Defib", app_url="", async_mode=False)
    sender = Apprise(asset=asset)
    if not sender.add(url):
        raise Undelivered(f"its {scheme}:// address is not one that Apprise takes", is_final=True)
    refusals: Refusals = []
    with guarded(allowed, refusals):
        taken = cast(
            "bool | None",
            sender.notify(
                body=text_of(delivery),
                title=subject_of(delivery),
                notify_type=TYPES[delivery.severity],
                # So that it is escaped where the service takes HTML or Markdown: names and reasons
                # are other people's words.
                body_format=NotifyFormat.TEXT,
            ),
        )
    if refusals:
        raise Undelivered(refusals[0], is_final=True)
    if not taken:
        raise Undelivered(f"the service behind {scheme}:// did not take it")
