"""The mixture over starts: equal to summing over every start by hand, and never more than one in expectation."""

from math import exp, log

import numpy as np
import pytest

from core.stats.sequential import onset, proportion


def test_the_weights_of_all_time_stay_below_one():
    # By hand: the first hundred thousand are summed, the rest is below the integral 1 / (1.07 ln(100002)).
    started = sum(exp(onset.log_start_weight(start)) for start in range(1, 100_001))
    assert 0.85 < started < started + 1 / (1.07 * log(100_002)) < 1


def test_a_late_start_is_still_affordable():
    assert onset.log_start_weight(36) == pytest.approx(-log(1.07 * 38 * log(38) ** 2))
    assert -6.3 < onset.log_start_weight(36) < -6.2


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
