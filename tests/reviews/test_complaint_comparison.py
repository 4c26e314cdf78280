"""What is normal depends on the hour of the week: Monday morning is not Sunday night."""

import numpy as np
import pytest
from scipy.stats import nbinom

from core.reviews.complaint_comparison import (
    MARGIN,
    ComplaintComparison,
    compare_with_baseline,
    find_negative_binomial_quantile,
)
from core.rollout.plans.baseline import HourlyComplaints

MONDAY_NINE, SUNDAY_THREE = 9, 6 * 24 + 3


def hours(*rows: tuple[int, int, int]) -> tuple[HourlyComplaints, ...]:
    return tuple(HourlyComplaints(hour=hour, requests=requests, complaints=n) for hour, requests, n in rows)


def compared(counted: tuple[HourlyComplaints, ...], baseline: tuple[HourlyComplaints, ...]) -> ComplaintComparison:
    found = compare_with_baseline(counted, baseline)
    assert found is not None
    return found


BASELINE = hours((MONDAY_NINE, 10_000, 40), (SUNDAY_THREE, 1_000, 1))


def test_each_hour_is_held_against_the_same_hour() -> None:
    found = compared(hours((MONDAY_NINE, 5_000, 20), (SUNDAY_THREE, 500, 1)), BASELINE)
    assert (found.requests, found.complaints, found.expected) == (5_500, 21, 20.5)
    assert not found.is_beyond_baseline


@pytest.mark.shows("E51")
def test_what_is_normal_on_monday_morning_is_beyond_normal_on_sunday_night() -> None:
    busy = hours(*((hour, 10_000, 40) for hour in range(8, 12)))
    quiet = hours(*((hour, 10_000, 4) for hour in range(8, 12)))
    found = hours(*((hour, 10_000, 38) for hour in range(8, 12)))
    assert not compared(found, busy).is_beyond_baseline
    assert compared(found, quiet).is_beyond_baseline


def test_an_hour_without_a_past_says_nothing() -> None:
    assert compare_with_baseline(hours((50, 1_000, 30)), BASELINE) is None
    assert compare_with_baseline(hours((MONDAY_NINE, 0, 0)), BASELINE) is None
    assert compare_with_baseline((), BASELINE) is None
    assert compared(hours((50, 1_000, 30), (MONDAY_NINE, 100, 1)), BASELINE).requests == 100


@pytest.mark.parametrize("events", [0, 3, 40])
def test_the_usual_number_is_rarely_exceeded_while_nothing_changes(events: int) -> None:
    rng = np.random.default_rng(20261129)
    beyond = 0
    for _ in range(400):
        past = int(rng.poisson(events))
        now = int(rng.poisson(events / 2))
        beyond += now > compared(hours((9, 5_000, now)), hours((9, 10_000, past))).at_most
    assert beyond <= 12  # 4 of 400 are expected at 1 %; more than 12 has a chance below 1 in 1,000


def test_looking_every_hour_rarely_calls_a_rise_within_the_margin_beyond_normal() -> None:
    rng = np.random.default_rng(20261129)
    held = 0
    for _ in range(300):
        past = rng.poisson(6.0, 48)
        now = rng.poisson(6.0 * (1 + MARGIN), 48)
        baseline = hours(*((hour, 1_000, int(n)) for hour, n in enumerate(past)))
        passed = [(hour, 1_000, int(n)) for hour, n in enumerate(now)]
        held += any(compared(hours(*passed[:until]), baseline).is_beyond_baseline for until in range(1, 49, 4))
    assert held <= 9  # 3 of 300 at 1 %


def test_three_times_the_usual_is_found_within_a_day() -> None:
    rng = np.random.default_rng(20261129)
    baseline = hours(*((hour, 10_000, int(n)) for hour, n in enumerate(rng.poisson(8.0, 24))))
    found = hours(*((hour, 10_000, int(n)) for hour, n in enumerate(rng.poisson(24.0, 24))))
    assert compared(found, baseline).is_beyond_baseline


@pytest.mark.parametrize("size", [0.5, 1.7, 40.0, 3e4])
@pytest.mark.parametrize("mean", [0.01, 1.0, 17.3, 5e4])
@pytest.mark.parametrize("chance", [0.5, 0.99])
def test_the_quantile_is_that_of_the_distribution(chance: float, mean: float, size: float) -> None:
    p = size / (size + mean)
    assert find_negative_binomial_quantile(chance, size, p) == nbinom.ppf(chance, size, p)
