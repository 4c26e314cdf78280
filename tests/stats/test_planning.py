"""What can be noticed when: near what was measured, and laws that any such answer must keep."""

from datetime import timedelta
from math import log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.stats import planning
from core.stats.sequential import mean

RATE = st.floats(min_value=0.001, max_value=0.999)
SHARE = st.floats(min_value=0.01, max_value=0.99)


def test_expected_delays_are_near_those_measured():
    # Measured with the kernel at 5 % canary: 340 canary requests for 0.90 -> 0.85, 310 for errors 0.5 -> 2 %.
    assert planning.canary_trials(0.90, 0.85, canary_share=0.05) == pytest.approx(340, rel=0.25)
    assert planning.canary_trials(0.005, 0.02, canary_share=0.05) == pytest.approx(310, rel=0.25)
    assert planning.canary_trials(0.1, 0.1, canary_share=0.05) == float("inf")


def test_growth_as_worked_by_hand():
    # One control per canary trial: 0.2 and 0.4 meet at 0.3. KL(0.4, 0.3) + KL(0.2, 0.3) = 0.022583 + 0.025732.
    assert planning.growth(0.2, 0.4, 0.5) == pytest.approx(0.048315, abs=1e-6)


def test_against_a_fixed_rate_as_worked_by_hand():
    # KL(0.4, 0.3) = 0.4 ln(4/3) + 0.6 ln(6/7) = 0.022583.
    assert planning.canary_trials_against(0.3, 0.4) == pytest.approx(1.5 * log(20) / 0.022583, rel=1e-4)
    found = planning.smallest_noticeable_against(0.3, 500, side="greater")
    assert planning.canary_trials_against(0.3, 0.3 + found) == pytest.approx(500, rel=1e-6)


@given(RATE, RATE, SHARE)
def test_evidence_does_not_care_which_outcome_is_called_success(control, canary, share):
    assert planning.growth(control, canary, share) == pytest.approx(
        planning.growth(1 - control, 1 - canary, share), rel=1e-6, abs=1e-12
    )


@given(st.floats(min_value=0.05, max_value=0.9), st.integers(min_value=50, max_value=10**6), SHARE)
def test_more_requests_notice_less(control, trials, share):
    fewer, more = planning.smallest_noticeable(control, [trials, 4 * trials], canary_share=share, side="greater")
    assert np.isnan(fewer) or more < fewer


@given(st.floats(min_value=0.05, max_value=0.9), st.floats(min_value=1e-6, max_value=0.04))
def test_a_stricter_bar_takes_longer(control, alpha):
    at = {"canary_share": 0.1}
    assert planning.canary_trials(control, control + 0.05, alpha=alpha, **at) > planning.canary_trials(
        control, control + 0.05, alpha=0.05, **at
    )


def test_the_smallest_noticeable_change_takes_just_the_trials_there_are():
    found = planning.smallest_noticeable(0.9, 2000, canary_share=0.05, side="less")
    assert planning.canary_trials(0.9, 0.9 - found, canary_share=0.05) == pytest.approx(2000, rel=1e-6)
    assert np.isnan(planning.smallest_noticeable(0.9, 1, canary_share=0.05, side="greater"))


def test_many_are_answered_at_once_as_one_by_one():
    rates, trials = np.array([[0.02], [0.5], [0.9]]), np.array([200.0, 2000.0, 50_000.0])
    found = planning.smallest_noticeable(rates, trials, canary_share=0.05, side="greater")
    assert found.shape == (3, 3)
    for i, rate in enumerate(rates[:, 0]):
        for j, count in enumerate(trials):
            alone = planning.smallest_noticeable(rate, count, canary_share=0.05, side="greater")
            assert found[i, j] == pytest.approx(float(alone), nan_ok=True)


def test_time_until_a_verdict():
    assert planning.time_until(500, trials_per_hour=250) == timedelta(hours=2)
    assert planning.time_until(500, trials_per_hour=0) is None
    assert planning.time_until(float("inf"), trials_per_hour=10) is None


def test_a_mean_takes_the_units_of_its_formula():
    # 1.5 * ln 20 / (0.1^2 * 0.5 / 2)
    assert planning.canary_units(1.0, 0.1, canary_share=0.5) == pytest.approx(1.5 * log(20) / 0.0025)


@pytest.mark.parametrize(("error", "tau", "alpha"), [(0.3, 1.0, 0.05), (0.02, 0.05, 0.01), (2.0, 1.5, 0.005)])
def test_a_mean_is_noticed_where_its_evidence_reaches_the_bar(error, tau, alpha):
    # The kernel itself, at an estimate that equals the change said to be the smallest.
    found = planning.smallest_noticeable_mean(error, tau=tau, alpha=alpha)
    assert mean.log_e_half_normal(found / error, (tau / error) ** 2) == pytest.approx(log(1 / alpha), abs=0.02)


@given(st.floats(min_value=1e-4, max_value=100), st.floats(min_value=0.1, max_value=10))
def test_the_error_that_is_needed_notices_just_that(effect, ratio):
    tau = effect * ratio
    needed = planning.error_needed(effect, tau=tau)
    assert planning.smallest_noticeable_mean(needed, tau=tau) == pytest.approx(effect, rel=1e-6)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_without_noise_is_refused(rate):
    with pytest.raises(ValueError):
        planning.growth(rate, 0.5, 0.5)
    with pytest.raises(ValueError):
        planning.smallest_noticeable_mean(0.0, tau=1.0)
