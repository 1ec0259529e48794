"""Answers come in whatever pieces the network likes."""

from dataclasses import dataclass, field

import pytest

from defib_dev.bench.wire import IDLE, NotUnderstood, Wire, content_length

HEAD = b"HTTP/1.1 201 Created\r\ndate: x\r\nContent-Length: 5\r\nserver: y\r\n\r\n"


@dataclass
class Owner:
    answers: list[int] = field(default_factory=list)

    def answered(self, wire: Wire, status: int) -> None:
        assert wire.index == IDLE, "nothing was sent"
        self.answers.append(status)

    def lost(self, wire: Wire) -> None:
        raise AssertionError(f"nothing was lost, and {wire} says so")


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_an_answer_is_whole_when_its_last_byte_came(size: int) -> None:
    owner = Owner()
    wire = Wire(owner)
    whole = HEAD + b"hello"
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    for piece in pieces[:-1]:
        wire.data_received(piece)
        assert owner.answers == []
    wire.data_received(pieces[-1])
    assert owner.answers == [201]
    wire.data_received(whole)
    assert owner.answers == [201, 201]


def test_more_than_one_answer_to_one_request_is_refused() -> None:
    with pytest.raises(NotUnderstood, match="more came"):
        Wire(Owner()).data_received(HEAD + b"hello there")


def test_an_answer_of_unknown_length_is_refused() -> None:
    with pytest.raises(NotUnderstood, match="without Content-Length"):
        content_length(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked")
