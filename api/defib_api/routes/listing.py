"""Reads what a list of VMs is asked for; None where it is the contract's array of all."""

from typing import Annotated

from fastapi import Depends, Query, Request

from defib_api.errors import refused_field
from defib_api.fleet.finding import LabelWanted, Ordering, Sort, Wanted
from defib_api.fleet.page import PageWanted
from defib_core.domain.states import State

LIMIT, LIMIT_MOST = 100, 500
TEXT_MOST = 512
LABELS_MOST = 16
KNOWN = frozenset(
    {"limit", "cursor", "search", "health", "node", "cluster", "label", "paused", "sort"}
)
STATES = ", ".join(State)
SORTS = ", ".join(Sort)


def asked_of(  # noqa: PLR0917 - each is a parameter of the address
    request: Request,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MOST, description="VMs on a page.")] = LIMIT,
    cursor: Annotated[
        str | None, Query(max_length=4 * TEXT_MOST, description="`nextCursor` of the page before.")
    ] = None,
    search: Annotated[
        str | None,
        Query(max_length=TEXT_MOST, description="Part of the host name, VMID or node's name."),
    ] = None,
    health: Annotated[
        str | None,
        Query(
            max_length=TEXT_MOST,
            description=f"States, with commas between: {STATES}.",
            examples=["down,reset_failed"],
        ),
    ] = None,
    node: Annotated[str | None, Query(max_length=TEXT_MOST)] = None,
    cluster: Annotated[str | None, Query(max_length=TEXT_MOST)] = None,
    label: Annotated[
        list[str] | None,
        Query(max_length=LABELS_MOST, description="`key` or `key=value`; all must be there."),
    ] = None,
    paused: Annotated[bool | None, Query()] = None,
    sort: Annotated[
        str, Query(description=f"{SORTS}; `-` before it turns it around.", examples=["-cpu"])
    ] = Sort.HEALTH,
) -> PageWanted | None:
    """Read the parameters; 400 where one is none of what it may be."""
    if KNOWN.isdisjoint(request.query_params):
        return None
    wanted = Wanted(
        search=search or None,
        states=None if not health else _states(health),
        node=node or None,
        cluster=cluster or None,
        labels=tuple(LabelWanted.read(one) for one in label or () if one),
        paused=paused,
    )
    return PageWanted(wanted, _ordering(sort), limit, cursor or None)


Asked = Annotated[PageWanted | None, Depends(asked_of)]


def _states(health: str) -> frozenset[State]:
    try:
        return frozenset(State(word.strip()) for word in health.split(",") if word.strip())
    except ValueError as error:
        raise refused_field("health", f"may name, with commas between: {STATES}") from error


def _ordering(sort: str) -> Ordering:
    try:
        return Ordering(Sort(sort.removeprefix("-")), sort.startswith("-"))
    except ValueError as error:
        raise refused_field("sort", f"must be one of {SORTS}, or one of them after a -") from error
