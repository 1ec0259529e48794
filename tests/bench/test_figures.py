"""What a figure says."""

import pytest

from defib_dev.bench.figures import BenchError, Figure, Section, Target, Verdict, percentile

HUNDRED = [float(number) for number in range(1, 101)]


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1.0), (1, 1.0), (50, 50.0), (99, 99.0), (99.5, 100.0), (100, 100.0)]
)
def test_a_percentile_is_a_value_that_was_measured(percent: float, value: float) -> None:
    assert percentile(HUNDRED, percent) == value


def test_the_percentile_of_few_is_one_of_them() -> None:
    assert percentile([3.0], 99) == 3.0
    assert percentile([1.0, 2.0], 50) == 1.0
    assert percentile([1.0, 2.0], 99) == 2.0


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(BenchError, match="no answer came"):
        percentile([], 50)


@pytest.mark.parametrize(
    ("value", "verdict"), [(10, Verdict.AIM), (9.9, Verdict.LEAST), (4.9, Verdict.MISSED)]
)
def test_more_is_better_where_it_is(value: float, verdict: Verdict) -> None:
    assert Target(5, 10, higher_is_better=True).verdict(value) is verdict


@pytest.mark.parametrize(
    ("value", "verdict"), [(5, Verdict.AIM), (9.9, Verdict.LEAST), (10.1, Verdict.MISSED)]
)
def test_less_is_better_where_it_is(value: float, verdict: Verdict) -> None:
    assert Target(10, 5, higher_is_better=False).verdict(value) is verdict


def test_the_median_is_judged_not_the_best() -> None:
    target = Target(10, 5, higher_is_better=False)
    figure = Figure("a.b", "", "ms", (1.0, 20.0, 30.0), 3, target=target)
    assert figure.median == 20.0
    assert figure.verdict is Verdict.MISSED


@pytest.mark.parametrize("repeats", [(), (1.0, float("nan")), (float("inf"),)])
def test_what_was_not_measured_is_no_figure(repeats: tuple[float, ...]) -> None:
    with pytest.raises(BenchError, match=r"ingest\.rate was not measured"):
        Section("ingest", "").add("rate", "", "x", repeats)
