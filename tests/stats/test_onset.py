"""The mixture over starts: equal to summing over every start by hand, and never more than one in expectation."""

from math import exp, log

import numpy as np
import pytest

from core.stats.sequential import onset, proportion

DAY_AND_WEEK = (288, 2016)  # starts every five minutes


def test_the_weights_of_all_time_stay_below_one():
    # By hand: the first hundred thousand are summed, the rest is below the integral 1 / (1.07 ln(100002)).
    started = sum(exp(onset.log_start_weight(start)) for start in range(1, 100_001))
    assert 0.85 < started < started + 1 / (1.07 * log(100_002)) < 1


def test_a_late_start_is_still_affordable():
    assert onset.log_start_weight(36) == pytest.approx(-log(1.07 * 38 * log(38) ** 2))
    assert -6.3 < onset.log_start_weight(36) < -6.2


def test_horizons_share_half_of_the_weight_evenly_among_their_starts():
    # By hand: half of the plain weight, and half of the mean of 1/10 for ten starts and 1/40 for forty.
    plain = {start: exp(onset.log_start_weight(start)) for start in (7, 25, 41)}
    shared = {7: (1 / 10 + 1 / 40) / 2, 25: 1 / 40 / 2, 41: 0.0}
    for start, own in plain.items():
        assert exp(onset.log_start_weight(start, horizons=(10, 40))) == pytest.approx((own + shared[start]) / 2)


def test_the_weights_with_horizons_of_a_day_and_a_week_stay_below_one():
    started = sum(exp(onset.log_start_weight(start, horizons=DAY_AND_WEEK)) for start in range(1, 100_001))
    assert 0.9 < started < started + 1 / (2 * 1.07 * log(100_002)) < 1


def test_starts_late_in_the_first_day_cost_little_more_than_those_of_its_first_hours():
    plain, spread = (
        [round(-onset.log_start_weight(start, horizons=horizons), 1) for start in (36, 240, 600, 2016, 4032)]
        for horizons in ((), DAY_AND_WEEK)
    )
    assert plain == [6.3, 9.0, 10.2, 11.7, 12.6]
    assert spread == [6.3, 6.9, 8.9, 9.0, 13.3]


def test_it_is_the_sum_over_every_start_of_what_was_gained_since():
    gains = np.random.default_rng(1).normal(0.1, 0.5, (30, 3))
    mixed = np.full(3, -np.inf)
    for tick in range(30):
        begins = onset.log_start_weight(tick // 5 + 1) if tick % 5 == 0 else None
        mixed = onset.advance_mixture(mixed, gains[tick], forget=0.0, log_start=begins)
    since = [gains[5 * start :].sum(axis=0) + onset.log_start_weight(start + 1) for start in range(6)]
    np.testing.assert_allclose(mixed, np.logaddexp.reduce(since))


def test_forgetting_gives_a_part_of_every_start_away():
    kept = onset.advance_mixture(np.zeros(2), np.zeros(2), forget=0.25, log_start=None)
    np.testing.assert_allclose(np.exp(kept), 0.75)


def test_all_started_at_once_it_is_the_e_process_itself():
    gains = np.random.default_rng(2).normal(0, 1, (10, 4))
    mixed = onset.advance_mixture(np.full(4, -np.inf), gains[0], forget=0.0, log_start=0.0)
    for gain in gains[1:]:
        mixed = onset.advance_mixture(mixed, gain, forget=0.0, log_start=None)
    np.testing.assert_allclose(mixed, gains.sum(axis=0))


@pytest.mark.slow
def test_without_a_change_it_rarely_reaches_its_bar():
    # 2,000 rollouts of 400 looks, 5 canary and 95 control requests each, a start every 10 looks, bar ln 20.
    random, runs, looks = np.random.default_rng(20261125), 2000, 400
    seen = np.zeros((2, runs))
    mixed, reached = np.full((runs, 5), -np.inf), np.zeros(runs, dtype=bool)
    for look in range(looks):
        canary, control = random.binomial(5, 0.1, runs), random.binomial(95, 0.1, runs)
        gains = proportion.two_sample_increments(
            canary,
            np.full(runs, 5),
            control,
            np.full(runs, 95),
            earlier_successes=seen[0],
            earlier_trials=seen[1],
            side="greater",
        )
        begins = onset.log_start_weight(look // 10 + 1) if look % 10 == 0 else None
        mixed = onset.advance_mixture(mixed, gains, forget=0.01, log_start=begins)
        reached |= proportion.log_mean(mixed) >= log(20)
        seen += np.array([control, np.full(runs, 95)])
    assert reached.mean() <= 0.05


@pytest.mark.parametrize(
    "wrong", [{"forget": 1.0}, {"forget": -0.1}, {"components": [np.nan, 0.0]}, {"gains": [0.0, 0.0, 0.0]}]
)
def test_what_cannot_be_is_refused(wrong):
    asked = {"components": [0.0, 0.0], "gains": [0.0, 0.0], "forget": 0.0, "log_start": None, **wrong}
    with pytest.raises(ValueError):
        onset.advance_mixture(asked.pop("components"), asked.pop("gains"), **asked)
    with pytest.raises(ValueError):
        onset.log_start_weight(0)
    with pytest.raises(ValueError):
        onset.log_start_weight(3, horizons=(288, 0))
