"""The load generator: what it counts, and from when it measures."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from defib_dev.bench.load import Aim, ClosedLoop, OpenLoop

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"
REQUESTS = [b"first\n", b"second\n", b"third\n"]


@dataclass(slots=True)
class Scripted:
    """Answers request number k with what `script(k)` says, so many seconds later; None hangs up."""

    port: int = 0
    turned_away: int = 0
    """So many connections more are closed before anything is asked."""
    asked: list[bytes] = field(default_factory=list)
    script: Callable[[int], tuple[float, bytes] | None] = lambda _: (0.0, ANSWER)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.turned_away:
            self.turned_away -= 1
            writer.close()
            return
        while request := await reader.readline():
            number = len(self.asked)
            self.asked.append(request)
            said = self.script(number)
            if said is None:
                break
            delay, answer = said
            if delay:
                await asyncio.sleep(delay)
            writer.write(answer)
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    script = Scripted()
    listening = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    script.port = listening.sockets[0].getsockname()[1]
    yield script
    listening.close()


def aim(server: Scripted, wires: int = 1, first: int = 0) -> Aim:
    return Aim(server.port, REQUESTS, wires, first)


async def test_a_closed_loop_counts_every_answer_and_begins_where_it_is_told(
    server: Scripted,
) -> None:
    tally = await ClosedLoop(aim(server, first=2), warm_up=0, seconds=0.2).run()
    assert tally.ok == len(server.asked) > 3
    assert server.asked[:4] == [b"third\n", b"first\n", b"second\n", b"third\n"]
    assert tally.acknowledged[2] == server.asked.count(b"third\n")
    assert 0 < tally.in_window <= tally.ok
    assert tally.faults() is None


async def test_what_is_answered_while_warming_up_is_acknowledged_but_no_figure(
    server: Scripted,
) -> None:
    tally = await ClosedLoop(aim(server), warm_up=0.2, seconds=0.1).run()
    assert tally.in_window == len(tally.latencies) < tally.ok == len(server.asked)


async def test_an_open_loop_sends_exactly_what_is_on_schedule(server: Scripted) -> None:
    tally = await OpenLoop(aim(server, wires=4), rate=200, warm_up=0.1, seconds=0.2).run()
    assert len(server.asked) == 60
    assert tally.in_window == len(tally.latencies) == len(tally.lateness) == 40
    assert tally.faults() is None
    assert min(tally.lateness) >= 0, "nothing is sent before it is due"


async def test_a_stall_is_felt_by_all_requests_that_were_due_meanwhile(server: Scripted) -> None:
    server.script = lambda number: (0.5 if number == 0 else 0.0, ANSWER)
    tally = await OpenLoop(aim(server), rate=100, warm_up=0, seconds=0.5).run()
    assert tally.in_window == 50
    felt = sum(latency > 0.1 for latency in tally.latencies)
    assert felt >= 35, "one alone would be coordinated omission"
    assert tally.lateness[1] > 0.4, "the generator was kept waiting, and says so"


async def test_requests_without_an_answer_count_with_the_time_that_was_waited(
    server: Scripted,
) -> None:
    server.script = lambda _: (60.0, ANSWER)
    loop = OpenLoop(aim(server, wires=2), rate=50, warm_up=0, seconds=0.2, drain=0.2)
    tally = await loop.run()
    assert len(server.asked) == 2
    assert tally.unanswered == len(tally.latencies) == 10
    assert min(tally.latencies) > 0.15
    assert tally.faults() == "10 not answered in time"


async def test_a_lost_connection_is_counted_and_replaced(server: Scripted) -> None:
    server.script = lambda number: None if number == 1 else (0.0, ANSWER)
    tally = await OpenLoop(aim(server), rate=50, warm_up=0, seconds=0.2).run()
    assert (tally.ok, tally.lost, tally.unanswered) == (9, 1, 0)
    assert tally.faults() == "1 connections lost"


async def test_an_idle_connection_that_the_server_closes_costs_nothing(server: Scripted) -> None:
    server.turned_away = 1
    tally = await OpenLoop(aim(server, wires=2), rate=50, warm_up=0, seconds=0.2).run()
    assert tally.ok + tally.lost == 10
    assert tally.unanswered == 0


async def test_an_answer_that_says_less_than_all_is_stored_is_no_success(server: Scripted) -> None:
    short = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnot"
    server.script = lambda number: (0.0, short if number == 1 else ANSWER)
    wanted = Aim(server.port, REQUESTS, wires=1, answer=2)
    tally = await OpenLoop(wanted, rate=50, warm_up=0, seconds=0.2).run()
    assert (tally.ok, tally.partial) == (9, 1)
    assert tally.faults() == "1 answered 200 for a part only"


async def test_another_status_than_200_is_no_success(server: Scripted) -> None:
    server.script = lambda number: (0.0, BUSY if number % 2 else ANSWER)
    tally = await OpenLoop(aim(server), rate=50, warm_up=0, seconds=0.2).run()
    assert (tally.ok, dict(tally.other)) == (5, {503: 5})
    assert len(tally.latencies) == 5
    assert tally.faults() == "5 answered 503"
