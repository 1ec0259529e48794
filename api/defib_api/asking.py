"""Who asks for a change, and by which way: what goes into the histories and the audit log."""

from typing import Annotated

from fastapi import Depends, Header

from defib_api.auth import Authenticated
from defib_core.domain.actions import Source
from defib_core.store.audit import Who

SOURCES = {"dashboard": Source.DASHBOARD, "cli": Source.CLI}

Client = Annotated[
    str | None,
    Header(
        alias="X-Defib-Client",
        description='"dashboard" or "cli" marks the request as theirs in the histories.',
    ),
]


def source_of(client: str | None) -> Source:
    """Say by which way a request came."""
    return SOURCES.get(client or "", Source.API)


def who_of(principal: Authenticated, client: Client = None) -> Who:
    """Say who asks, for the audit log."""
    return Who(principal.name, source_of(client))


AskedBy = Annotated[Who, Depends(who_of)]
