"""Runs summed up: upper limits of rates, and times at which half and nine of ten of all runs had found the harm."""

from datetime import timedelta

import pytest

from core.simulation.harm import SimulatedHarm
from core.simulation.report import summarise_harm, summarise_harmless, upper_rate_limit
from core.simulation.run import SimulatedRun, SimulatedStop

HOUR = timedelta(hours=1)


def run(hours=None, metric="refusal_rate", held=None, undecided=()):
    def stop(after, of):
        return SimulatedStop(metric=of, after=after * HOUR, stage="canary", users=10 * after, requests=100 * after)

    return SimulatedRun(
        rollback=None if hours is None else stop(hours, metric),
        held=None if held is None else stop(held, "retry_rate"),
        undecided=undecided,
        lasted=(hours or 9) * HOUR,
    )


@pytest.mark.parametrize(
    ("events", "runs", "limit"),
    [
        (0, 40, 1 - 0.05 ** (1 / 40)),  # by hand: (1 - p)^40 = 5 %
        (10, 100, 0.16372),  # R: binom.test(10, 100, alt = "less")
        (7, 7, 1.0),
    ],
)
def test_the_highest_rate_that_a_count_allows(events, runs, limit):
    assert upper_rate_limit(events, runs) == pytest.approx(limit, abs=1e-5)


def test_a_count_that_cannot_be():
    with pytest.raises(ValueError, match="3 of 2"):
        upper_rate_limit(3, 2)


def test_runs_without_harm():
    report = summarise_harmless([run(), run(3), run(held=2), run(undecided=("canary",))])
    assert (report.runs, report.rolled_back, report.by) == (4, 1, (("refusal_rate", 1),))
    assert (report.held, report.holds_by, report.undecided) == (1, (("retry_rate", 1),), (("canary", 1),))
    assert report.at_most == pytest.approx(0.7514, abs=1e-4)  # R: binom.test(1, 4, alt = "less")
    assert report.lasted == 9 * HOUR


def test_times_are_of_all_runs_and_not_only_of_those_that_found_it():
    harm = SimulatedHarm(metric="refusal_rate", text="")
    report = summarise_harm(harm, [run(h) for h in (1, 2, 3, 4, 5, 6)] + [run()] * 4, by_hold=False)
    assert (report.stopped, report.median, report.slow) == (6, 5 * HOUR, None)
    assert (report.users, report.requests) == (50, 500)


def test_a_stop_for_another_metric_is_no_right_one():
    harm = SimulatedHarm(metric="refusal_rate", text="")
    report = summarise_harm(harm, [run(1), run(2, "cost_per_request"), run(3, held=1)], by_hold=False)
    assert (report.right, report.held_first) == (2, 1)
    assert report.by == (("refusal_rate", 2), ("cost_per_request", 1))
    assert summarise_harm(harm, [run(held=1)], by_hold=False).stopped == 0
