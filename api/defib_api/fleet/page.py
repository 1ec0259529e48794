"""Cuts one page out of the fleet, and writes it with the VMs as they are now."""

from dataclasses import dataclass

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from defib_api.fleet import cursor
from defib_api.fleet.finding import Ordering, Wanted
from defib_api.fleet.snapshot import Fleet
from defib_core.store import vm_rows


@dataclass(frozen=True, slots=True)
class PageWanted:
    """One page of a list."""

    wanted: Wanted
    order: Ordering
    limit: int
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """The VMs of a page, where the next one begins, and how many VMs all pages have."""

    vm_ids: list[int]
    next_cursor: str | None
    total: int


def cut(fleet: Fleet, asked: PageWanted) -> Page:
    """Find a page's VMs; raises BadCursor."""
    place = None if asked.after is None else cursor.read(asked.order, asked.after)
    rows = fleet.found(asked.wanted, asked.order)
    rest = fleet.after(rows, asked.order, place)
    shown = rest[: asked.limit]
    more = len(rest) > len(shown)
    return Page(
        vm_ids=[fleet.names.ids[row] for row in shown],
        next_cursor=cursor.write(asked.order, fleet.key_of(asked.order)(shown[-1]))
        if more
        else None,
        total=len(rows),
    )


async def written(connection: AsyncConnection, page: Page) -> bytes:
    """Write a page as JSON. Its VMs are read now, so one may have changed since it was found."""
    rows = await vm_rows.some_rows(connection, page.vm_ids)
    items = b",".join(rows[vm_id] for vm_id in page.vm_ids if vm_id in rows)
    rest = msgspec.json.encode({"nextCursor": page.next_cursor, "total": page.total})
    return b'{"items":[' + items + b"]," + rest[1:]
