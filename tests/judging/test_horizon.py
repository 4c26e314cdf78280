"""A long comparison at its horizon: one test per deciding metric, its course over the days, and advice."""

from dataclasses import replace
from datetime import timedelta

import pytest

from core.judging.model.question import StageDesign
from core.judging.report.course import build_course
from core.judging.report.horizon import compare_at_horizon
from core.stats.fixed_horizon.horizon import fixed_interval, widen_for_few_degrees

AB = StageDesign(index=6, name="ab", compared=True, canary_share=0.5, control_left=True)
DECIDE_ON = ("eval_pass_rate", "cost_per_request")


@pytest.fixture
def compared(world, traffic):
    """Two weeks of a comparison: the traffic of the canary by day, and what the horizon says of it."""

    def run(canary_of_day, *, seed=1, days=14, per_day=1500, users=20_000, decide_on=DECIDE_ON):
        made = world(seed=seed, users=users)
        made.enter(AB)
        seen = []
        for day in range(days):
            made.serve(per_day, canary_of_day(day), traffic())
            made.at += timedelta(days=1)
            judged = made.look()
            seen.append(made.looks[-1])
        courses = tuple(build_course(made.question, seen, metric) for metric in decide_on)
        return compare_at_horizon(made.question, seen[-1], judged.measures, decide_on, courses)

    return run


def test_no_difference_keeps_the_new_version_once_enough_is_known(compared, traffic):
    found = compared(lambda _: traffic(), per_day=4000)
    assert found.advice == "keep"
    assert [row.word for row in found.measures] == ["Fine", "Fine"]


def test_too_little_traffic_cannot_tell(compared, traffic):
    found = compared(lambda _: traffic(), per_day=150)
    assert found.advice == "cannot tell"
    assert found.measures[0].word == "Not enough data"


@pytest.mark.shows("E61")
def test_a_gain_is_better_and_harm_goes_back(compared, traffic):
    better = compared(lambda _: traffic(passes=0.95), per_day=4000)
    assert (better.advice, better.measures[0].word) == ("keep", "Better")
    worse = compared(lambda _: traffic(passes=0.895), per_day=4000)
    assert (worse.advice, worse.measures[0].word) == ("go back", "Worse")


def test_a_small_loss_within_the_agreed_limit_is_kept_and_said(compared, traffic):
    found = compared(lambda _: traffic(passes=0.91), per_day=12_000)
    assert (found.advice, found.measures[0].word) == ("keep", "Slightly worse, within limit")


def test_a_metric_that_was_never_reported_cannot_tell(compared, traffic):
    found = compared(lambda _: traffic(), per_day=4000, decide_on=("eval_pass_rate", "escalation_rate"))
    assert found.advice == "cannot tell"
    assert [row.word for row in found.measures] == ["Fine", "No data"]


def test_a_metric_without_a_limit_to_roll_back_is_compared_too(compared, traffic):
    found = compared(lambda _: traffic(), per_day=4000, decide_on=("retry_rate",))
    assert found.measures[0].word == "Fine"


def test_the_range_is_narrower_than_the_one_that_may_be_looked_at_every_day(world, traffic):
    made = world()
    made.enter(AB)
    made.serve(40_000, traffic(), traffic())
    judged = made.look()
    anytime = next(row for row in judged.measures if row.metric == "eval_pass_rate")
    found = compare_at_horizon(made.question, made.looks[-1], judged.measures, ("eval_pass_rate",))
    assert found.measures[0].high - found.measures[0].low < 0.8 * (anytime.high - anytime.low)


def test_the_range_agrees_with_a_two_sample_test_of_the_same_requests(world, traffic):
    """With one request per person the buckets add nothing, and the textbook's range is the same."""
    made = world(users=400_000)
    made.enter(AB)
    made.serve(60_000, traffic(), traffic())
    judged = made.look()
    (row,) = compare_at_horizon(made.question, made.looks[-1], judged.measures, ("eval_pass_rate",)).measures
    error = (row.canary * (1 - row.canary) / row.n_canary + row.control * (1 - row.control) / row.n_control) ** 0.5
    assert row.high - row.low == pytest.approx(2 * 1.97 * error, rel=0.1)


def test_more_deciding_metrics_make_each_range_wider(world, traffic):
    made = world()
    made.enter(AB)
    made.serve(40_000, traffic(), traffic())
    judged = made.look()
    alone, two = (
        compare_at_horizon(made.question, made.looks[-1], judged.measures, metrics).measures[0]
        for metrics in (DECIDE_ON[:1], DECIDE_ON)
    )
    assert two.high - two.low > 1.05 * (alone.high - alone.low)


def test_where_nothing_differs_a_winner_or_a_loser_is_rarely_named(compared, traffic):
    named = sum(
        any(row.word in {"Better", "Worse"} for row in compared(lambda _: traffic(), seed=seed, days=2).measures)
        for seed in range(40)
    )
    assert named <= 6, "5 % over both metrics: one chance in some 200 to be above"


@pytest.mark.shows("E60")
def test_a_gain_of_the_first_days_that_vanishes_is_called_a_novelty(compared, traffic):
    found = compared(lambda day: traffic(passes=0.97 if day < 3 else 0.92), per_day=4000)
    course = found.courses[0]
    assert course.is_novelty is True
    assert course.early > 0.035
    assert abs(course.late) < 0.015
    assert len(course.days) == 14


def test_a_steady_gain_is_no_novelty(compared, traffic):
    course = compared(lambda _: traffic(passes=0.95), per_day=4000).courses[0]
    assert (course.is_novelty, course.trend) == (False, "steady")


def test_a_difference_that_falls_day_by_day_has_a_trend(compared, traffic):
    course = compared(lambda day: traffic(passes=0.97 - 0.006 * day), per_day=4000).courses[0]
    assert course.trend == "falling"


@pytest.mark.shows("E60")
def test_the_days_add_up_to_the_whole(compared, traffic):
    found = compared(lambda _: traffic(), per_day=2000)
    course, row = found.courses[0], found.measures[0]
    assert sum(day.requests for day in course.days) == row.n_canary + row.n_control
    weighed = sum(day.canary * day.requests for day in course.days) / sum(day.requests for day in course.days)
    assert weighed == pytest.approx(row.canary, abs=0.004)


def test_a_day_without_a_look_counts_with_the_next_one(world, traffic):
    made = world()
    made.enter(AB)
    seen = []
    for day in range(5):
        made.serve(2000, traffic(), traffic())
        made.look()
        seen.append(made.looks[-1] if day != 2 else None)
    days = build_course(made.question, seen, "eval_pass_rate").days
    assert (days[2].requests, days[2].difference) == (0, None)
    assert days[3].requests == 4000


def test_a_quantile_has_no_course(world, traffic):
    made = world()
    made.enter(replace(AB))
    made.serve(2000, traffic(), traffic())
    made.look()
    assert build_course(made.question, made.looks, "latency_p95").days == ()


def test_a_fixed_interval_is_students():
    low, high = fixed_interval(10.0, 2.0, alpha=0.05, degrees_of_freedom=9)
    assert (low, high) == pytest.approx((10 - 2 * 2.262157, 10 + 2 * 2.262157), abs=1e-4)
    with pytest.raises(ValueError, match="positive standard error"):
        fixed_interval(10.0, 0.0, alpha=0.05, degrees_of_freedom=9)


def test_few_degrees_of_freedom_widen_by_students_t():
    # Tables: t at 97.5 % is 12.706 for 1, 4.303 for 2 and 2.228 for 10 degrees of freedom; the normal's is 1.960.
    for degrees, table in ((1, 12.706), (2, 4.303), (10, 2.228)):
        assert widen_for_few_degrees(degrees, alpha=0.05) == pytest.approx(table / 1.95996, rel=1e-3)
    assert 1 < widen_for_few_degrees(100_000, alpha=0.05) < 1.0001
    with pytest.raises(ValueError):
        widen_for_few_degrees(0.5, alpha=0.05)
    with pytest.raises(ValueError):
        widen_for_few_degrees(5, alpha=1.0)
