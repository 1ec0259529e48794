"""Batches on disk: whole or not there, bounded, taken up again by the next process."""

from pathlib import Path

import pytest

from defib_relay import kept
from defib_relay.kept import Moment, NotABatch
from defib_relay.proven import Proven
from defib_relay.spool import NoRoom, Spool, SpoolInUse


def opened(folder: Path, most_bytes: int = 1000) -> Spool:
    spool = Spool(folder / "spool", most_bytes)
    spool.open()
    return spool


def test_the_next_process_finds_what_was_kept(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.add(b"one", 1)
    spool.add(b"two", 2)
    spool.close()
    again = opened(tmp_path)
    assert again.waiting == 3
    newest = again.newest()
    assert newest is not None
    assert again.read(newest) == b"two"
    again.remove(newest)
    again.add(b"three", 3)
    assert [again.read(turn) for turn in sorted(again._sizes)] == [b"one", b"three"]


def test_past_the_bound_the_oldest_goes_and_is_counted_for_good(tmp_path: Path) -> None:
    spool = opened(tmp_path, most_bytes=10)
    for payload in (b"aaaa", b"bbbb", b"cccc"):
        spool.add(payload, 5)
    assert (spool.waiting, spool.lost) == (10, 5)
    assert [spool.read(turn) for turn in sorted(spool._sizes)] == [b"bbbb", b"cccc"]
    spool.close()
    assert opened(tmp_path).lost == 5


def test_what_was_not_written_to_its_end_is_not_there(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    (tmp_path / "spool" / "000000000007-9.batch.new").write_bytes(b"half")
    spool.close()
    again = opened(tmp_path)
    assert again.newest() is None
    assert list((tmp_path / "spool").glob("*.new")) == []


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    with pytest.raises(SpoolInUse, match="another relay"):
        opened(tmp_path)
    spool.close()
    opened(tmp_path).close()


def test_a_disk_that_takes_nothing_is_an_error(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.prove()
    (tmp_path / "spool").rename(tmp_path / "gone")
    with pytest.raises(OSError, match="No such file"):
        spool.prove()
    with pytest.raises(OSError, match="No such file"):
        spool.add(b"x", 1)


TAKEN = Moment("boot-1", 1000.0, 5_000_000.0)


@pytest.mark.parametrize(
    ("sent", "age"),
    [
        (Moment("boot-1", 1000.0, 5_000_000.0), 2.0),
        (Moment("boot-1", 1090.5, 4_000_000.0), 92.5),
        (Moment("boot-2", 10.0, 5_000_060.0), 3602.0),
        (Moment("boot-2", 10.0, 4_000_000.0), 3602.0),
        (Moment("boot-2", 10.0, 5_086_400.0), 86_402.0),
        (Moment("", 2000.0, 5_000_060.0), 3602.0),
    ],
)
def test_reports_age_by_a_clock_that_nobody_sets(sent: Moment, age: float) -> None:
    [report] = kept.aged(kept.keep([{"vmid": 100, "ageSeconds": 2}], TAKEN), sent)
    assert report == {"vmid": 100, "ageSeconds": age}


def test_what_is_older_than_the_api_takes_is_left_out() -> None:
    reports: list[dict[str, object]] = [{"ageSeconds": 0}, {"ageSeconds": 604_800}]
    later = Moment("boot-1", 1001.0, 5_000_001.0)
    assert kept.aged(kept.keep(reports, TAKEN), later) == [{"ageSeconds": 1.0}]


def test_a_damaged_file_is_said_to_be_one() -> None:
    for content in (b"", b"{", b"[]", b"\xff"):
        with pytest.raises(NotABatch):
            kept.aged(content, TAKEN)


def test_what_is_not_proven_has_a_share_and_pushes_nothing_out(tmp_path: Path) -> None:
    spool = opened(tmp_path, most_bytes=100)
    spool.add(b"a" * 45, 5)
    spool.add(b"x" * 10, 9, proven=False)
    with pytest.raises(NoRoom):
        spool.add(b"x", 1, proven=False)
    assert (spool.waiting, spool.lost) == (14, 0)
    spool.close()
    again = opened(tmp_path, most_bytes=100)
    newest = again.newest()
    assert newest is not None
    assert again.read(newest) == b"a" * 45, "what is proven goes first"
    again.add(b"b" * 50, 5)
    assert (again.waiting, again.lost) == (10, 9), "and what is not goes first where room is wanted"


def test_keys_that_were_taken_are_remembered_until_they_are_refused(tmp_path: Path) -> None:
    one, two, three = ("1" * 64, "2" * 64, "3" * 64)
    proven = Proven(tmp_path)
    proven.open()
    proven.learn({one}, ())
    proven.learn({one, two}, {three})
    with (tmp_path / "keys").open("a") as file:
        file.write("half a li")
    again = Proven(tmp_path)
    again.open()
    assert [again.knows(key) for key in (one, two, three)] == [True, True, False]
    again.learn({two, three}, {one})
    once_more = Proven(tmp_path)
    once_more.open()
    assert [once_more.knows(key) for key in (one, two, three)] == [False, True, True]
