"""Times and windows as scenarios write them."""

import pytest

from defib_dev.simulate.moments import NoMoment, Window, format_moment, parse_moment, parse_window


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("15m30s", 930), ("2h0m5s", 7205), ("0s", 0)],
)
def test_a_time_is_read_as_seconds(text: str, seconds: float) -> None:
    assert parse_moment(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "5 m", "m5", "-5m", "5m30", "1.5h", "5s5m", "five minutes"]
)
def test_what_is_no_time_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(NoMoment, match="15m30s"):
        parse_moment(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (930, "15m30s"),
        (3600, "1h"),
        (5400, "1h30m"),
        (7205, "2h5s"),
    ],
)
def test_seconds_are_written_as_scenarios_do(seconds: float, text: str) -> None:
    assert format_moment(seconds) == text


def test_parts_of_a_second_are_written_to_a_tenth() -> None:
    assert format_moment(880.6) == "14m40.6s"
    assert format_moment(59.97) == "1m"


def test_a_window_holds_both_its_ends() -> None:
    window = parse_window("15m..20m")
    assert window.holds(900)
    assert window.holds(1200)
    assert not window.holds(899.9)
    assert not window.holds(1200.1)


def test_an_open_window_never_ends() -> None:
    window = parse_window(">=1h")
    assert window.holds(3600)
    assert window.holds(1e9)
    assert not window.holds(3599.9)


def test_one_time_alone_is_a_window_of_that_moment() -> None:
    assert parse_window("15m") == Window(900, 900)


@pytest.mark.parametrize("text", ["20m..15m", "15m..", "..15m", ">=", "15m...20m", "<=15m"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(NoMoment):
        parse_window(text)


def test_a_window_overlaps_what_touches_it() -> None:
    window = parse_window("15m..20m")
    assert window.overlaps(0, 900)
    assert window.overlaps(1200, None)
    assert window.overlaps(1000, 1001)
    assert not window.overlaps(0, 899)
    assert not window.overlaps(1201, None)
    assert parse_window(">=15m").overlaps(0, None)
