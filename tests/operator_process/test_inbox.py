"""Where kopf's thread leaves objects: the newest of each, bounded, and nobody waits."""

import asyncio

import pytest

from defib_operator import inbox as inbox_module
from defib_operator.inbox import Inbox, Letter


def letter(uid: str, version: int = 1, *, gone: bool = False) -> Letter:
    return Letter({"metadata": {"uid": uid, "resourceVersion": str(version)}}, gone)


async def test_of_an_object_that_changes_often_the_newest_is_taken() -> None:
    inbox = Inbox()
    for version in range(1, 100):
        assert inbox.put(letter("a", version))
    inbox.put(letter("b"))
    taken = await inbox.take()
    assert [one.body["metadata"]["resourceVersion"] for one in taken] == ["99", "1"]


async def test_beyond_its_bound_it_keeps_nothing_new_but_deletions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox_module, "AT_MOST", 3)
    inbox = Inbox()
    assert [inbox.put(letter(str(number))) for number in range(5)] == [True] * 3 + [False] * 2
    assert inbox.put(letter("1", 2)), "of one that waits the newest is kept"
    assert inbox.put(letter("4", gone=True))
    assert [(one.uid, one.gone) for one in await inbox.take()] == [
        ("0", False),
        ("1", False),
        ("2", False),
        ("4", True),
    ]


async def test_so_many_are_taken_at_once_and_the_rest_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inbox_module, "AT_ONCE", 2)
    inbox = Inbox()
    for number in range(3):
        inbox.put(letter(str(number)))
    assert [one.uid for one in await inbox.take()] == ["0", "1"]
    assert [one.uid for one in await inbox.take()] == ["2"]


async def test_what_is_being_taken_in_is_held_until_that_is_done() -> None:
    """Else a change back to what is in force would be passed over for what is under way."""
    inbox = Inbox()
    inbox.put(letter("a"))
    assert inbox.holds("a")
    await inbox.take()
    assert inbox.holds("a")
    inbox.done()
    assert not inbox.holds("a")


async def test_another_thread_wakes_who_waits() -> None:
    inbox = Inbox()
    waiting = asyncio.create_task(inbox.take())
    await asyncio.sleep(0)
    await asyncio.to_thread(inbox.put, letter("a"))
    async with asyncio.timeout(30):
        assert [one.uid for one in await waiting] == ["a"]
