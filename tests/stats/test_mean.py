"""The normal mixtures and the stage-stratified contrast."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from bench.measuring.contrasts import contrast
from core.stats.sequential import mean


@pytest.mark.parametrize(("estimate", "error", "tau"), [(0.05, 0.02, 0.04), (-0.03, 0.01, 0.05), (0.0, 2.0, 0.7)])
def test_the_half_normal_is_the_mixture_it_claims_to_be(estimate, error, tau):
    # E = integral over effects of the likelihood ratio, weighted by a half-normal of scale tau.
    def weighed(effect):
        return 2 * norm.pdf(effect, 0, tau) * np.exp(effect * estimate / error**2 - effect**2 / (2 * error**2))

    e, _ = quad(weighed, 0, 30 * tau, points=[abs(estimate), tau], limit=200)
    assert mean.log_e_half_normal(estimate / error, (tau / error) ** 2) == pytest.approx(np.log(e), abs=1e-7)


def test_it_agrees_with_the_formula_of_confseq():
    # Its one-sided normal mixture: log(4 rho / (v + rho)) / 2 + s^2 / (2 (v + rho)) + log Phi(s / sqrt(v + rho)).
    s, v, rho = 31.0, 144.0, 25.0
    expected = 0.5 * np.log(4 * rho / (v + rho)) + s**2 / (2 * (v + rho)) + norm.logcdf(s / np.sqrt(v + rho))
    assert mean.log_e_half_normal(s / np.sqrt(v), v / rho) == pytest.approx(expected)


@pytest.mark.parametrize("z", [28.0, 31.0, 45.0, 200.0])
def test_overwhelming_evidence_follows_the_same_formula(z):
    # Across the place where Phi is taken as 1; scipy's logcdf is an implementation of its own.
    r = 400.0
    expected = np.log(2) - np.log1p(r) / 2 + r * z**2 / (2 * (1 + r)) + norm.logcdf(z * np.sqrt(r / (1 + r)))
    assert mean.log_e_half_normal(z, r) == pytest.approx(expected, rel=1e-12)


def test_no_information_is_no_evidence_and_strong_contradiction_stays_finite():
    assert mean.log_e_half_normal(5.0, 0.0) == pytest.approx(0.0)
    assert np.isfinite(mean.log_e_half_normal(-1e4, 1e6))
    assert mean.log_e_half_normal(-1e4, 1e6) < -10


def test_the_shown_range_holds_exactly_what_is_not_rejected():
    low, high = mean.confidence_sequence(0.03, 0.01, tau=0.04, alpha=0.05)
    for edge in (low, high):
        z = (0.03 - edge) / 0.01
        both_sides = np.logaddexp(mean.log_e_half_normal(z, 16.0), mean.log_e_half_normal(-z, 16.0)) - np.log(2)
        assert both_sides == pytest.approx(np.log(20))
    wider = mean.confidence_sequence(0.03, 0.01, tau=0.04, alpha=0.01)
    assert wider[0] < low < high < wider[1]


# Two stages, two buckets; (weight, value). Worked by hand below.
CANARY = np.array([[[2.0, 1.0], [2.0, 2.0]], [[10.0, 4.0], [10.0, 6.0]]])
CONTROL = np.array([[[8.0, 4.0], [8.0, 4.0]], [[10.0, 3.0], [10.0, 5.0]]])


def test_the_contrast_compares_within_stages_as_worked_by_hand():
    # Stage 1: R_T = 3/4, R_C = 8/16, w = 4*16/20 = 3.2. Stage 2: R_T = 10/20, R_C = 8/20, w = 20*20/40 = 10.
    # Estimate (3.2*0.25 + 10*0.1) / 13.2 = 1.8/13.2.
    # Residuals, bucket 1: stage 1 (1 - .75*2)/4 = -.125, control 0; stage 2 (4-5)/20 - (3-4)/20 = 0.
    # e_1 = 3.2*(-.125)/13.2, e_2 = -e_1; SE^2 = 2/1 * 2 * e_1^2.
    estimate, error = contrast(CANARY, CONTROL)
    assert estimate == pytest.approx(1.8 / 13.2)
    assert error == pytest.approx(2 * 0.4 / 13.2)


def test_pooling_the_stages_would_have_said_something_else():
    pooled = 13 / 24 - 16 / 36
    assert abs(float(contrast(CANARY, CONTROL)[0]) - pooled) > 0.03


def test_scale_mirror_and_ratio():
    estimate, error = contrast(CANARY, CONTROL)
    tenfold = [array * [1, 10] for array in (CANARY, CONTROL)]
    assert contrast(*tenfold) == (pytest.approx(10 * estimate), pytest.approx(10 * error))
    assert contrast(CONTROL, CANARY) == (pytest.approx(-estimate), pytest.approx(error))
    # ratio: (3.2*(.75 - .6) + 10*(.5 - .48)) / 13.2
    levels = mean.stratify_levels(CANARY, CONTROL)
    assert levels.canary - 1.2 * levels.control == pytest.approx((3.2 * 0.15 + 10 * 0.02) / 13.2)


def test_a_stage_that_lacks_an_arm_drops_out_and_none_left_is_unknown():
    empty = np.zeros_like(CONTROL[:1])
    with_more = np.concatenate([CANARY, CANARY[:1]]), np.concatenate([CONTROL, empty])
    assert contrast(*with_more)[0] == pytest.approx(1.8 / 13.2)
    estimate, error = contrast(CANARY[:1], empty)
    assert np.isnan(estimate)
    assert error == np.inf


def test_units_that_send_many_alike_requests_do_not_look_certain():
    rng = np.random.default_rng(3)
    own = rng.normal(1.0, 0.5, (256,))
    spread = np.stack([np.full(256, 50.0), 50 * own], axis=-1)[np.newaxis]
    same = np.stack([np.full(256, 50.0), np.full(256, 50.0)], axis=-1)[np.newaxis]
    error = float(contrast(spread, same)[1])
    assert error == pytest.approx(own.std(ddof=1) / 16)  # of 256 units, not of 12,800 requests


def arm(weights, levels):
    """One stage of buckets with these weights and levels."""
    return np.stack([weights, np.multiply(weights, levels)], axis=-1)[np.newaxis].astype(float)


def test_the_error_has_as_many_degrees_of_freedom_as_busy_buckets_that_differ():
    differ, same = [1.0, 2.0, 3.0, 4.0] * 4, [2.0] * 16
    even, busy = [1.0] * 16, [100.0, 100.0] + [1.0] * 14

    def degrees(canary, control):
        return float(mean.stratify_levels(canary, control).degrees_of_freedom())

    assert degrees(arm(even, differ), arm(even, same)) == pytest.approx(16)  # control's level is certain
    assert degrees(arm(even, differ), arm(even, differ)) == pytest.approx(32)  # both count, as they are as uncertain
    # Leverages 10^4, 10^4 and fourteen times 1: (20014)^2 / (2 * 10^8 + 14).
    assert degrees(arm(busy, differ), arm(even, same)) == pytest.approx(20014**2 / (2e8 + 14))
    assert degrees(arm([1.0] + [0.0] * 15, differ), arm(even, differ)) >= 1
    assert degrees(arm(even, same), arm(even, same)) == 1  # nothing differs: nothing is known of the error


def test_degrees_of_freedom_count_the_buckets_over_all_stages():
    # Two stages alike: each bucket's leverage is the sum of its parts, and so is what it weighs.
    canary, control = arm([3.0, 1.0, 1.0, 1.0], [1.0, 2.0, 3.0, 4.0]), arm([1.0] * 4, [2.0] * 4)
    twice = [np.concatenate([one, one]) for one in (canary, control)]
    alone, both = (float(mean.stratify_levels(*arms).degrees_of_freedom()) for arms in ((canary, control), twice))
    assert both == pytest.approx(alone) == pytest.approx(12**2 / (81 + 3))
    # Only one of two stages is asked for; the other has other buckets.
    other = arm([1.0, 9.0, 1.0, 1.0], [4.0, 3.0, 2.0, 1.0])
    arms = np.concatenate([canary, other]), np.concatenate([control, control])
    found = mean.stratify_levels(*arms, included=[[True, False], [False, False]]).degrees_of_freedom()
    assert found == pytest.approx([alone, 1.0])


@pytest.mark.parametrize(
    ("canary", "control"),
    [
        (CANARY[:, :1], CONTROL[:, :1]),
        (CANARY[..., :1], CONTROL[..., :1]),
        (-CANARY, CONTROL),
        (CANARY * np.nan, CONTROL),
    ],
)
def test_bad_sums_are_refused(canary, control):
    with pytest.raises(ValueError):
        contrast(canary, control)


@pytest.mark.parametrize(("z", "r"), [(np.nan, 1.0), (1.0, -0.1), (1.0, np.nan), (np.zeros(2), np.zeros(3))])
def test_bad_scores_are_refused(z, r):
    with pytest.raises(ValueError):
        mean.log_e_half_normal(z, r)


def test_a_skewed_cost_looked_at_fifty_times_rarely_raises_a_false_alarm():
    rng = np.random.default_rng(20261127)
    runs, looks, buckets = 300, 50, 64
    alarms = np.zeros(runs, dtype=bool)
    canary, control = np.zeros((runs, 1, buckets, 2)), np.zeros((runs, 1, buckets, 2))
    for look in range(looks):
        for arm, each in ((canary, 1), (control, 8)):
            arm[:, 0, :, 0] += each
            arm[:, 0, :, 1] += rng.lognormal(0, 1, (runs, buckets, each)).sum(axis=-1)
        if look >= 1:
            estimate, error = contrast(canary, control)
            alarms |= mean.log_e_half_normal(estimate / error, (0.4 / error) ** 2) >= np.log(20)
    assert alarms.sum() <= 25  # 15 expected at the full 5 %; more than 25 has a chance of 1 in 200


def test_a_batch_is_the_likelihood_ratio_of_a_normal_difference():
    variance, effects = 0.8, np.array([0.1, 0.2])
    found = mean.level_increments(
        28.0, 20.0, 300.0, 200.0, variance=variance, effects=effects, side="less", ratio=1.1, shift=-0.05
    )
    error = np.sqrt(variance * (1 / 20 + 1.1**2 / 200))
    difference = -(28 / 20 - 1.1 * 300 / 200 + 0.05)
    assert found == pytest.approx(norm.logpdf(difference, effects, error) - norm.logpdf(difference, 0, error))


def test_batches_without_harm_multiply_to_one_on_average():
    rng = np.random.default_rng(5)
    size, n = 20_000, 25
    arms = [rng.normal(3.0, 1.0, (size, n)).sum(axis=1) for _ in range(2)]
    full = np.full(size, float(n))
    gains = mean.level_increments(arms[0], full, arms[1], full, variance=1.0, effects=[0.1, 0.2], side="greater")
    assert np.exp(gains).mean(axis=0) == pytest.approx([1, 1], abs=0.02)
    harmed = mean.level_increments(arms[0] + n * 0.2, full, arms[1], full, variance=1.0, effects=[0.2], side="greater")
    assert harmed.mean() == pytest.approx(0.2**2 / 2 / (2 / n), rel=0.05)  # Wald's information for each batch


@pytest.mark.parametrize(("canary", "control", "variance"), [(0.0, 9.0, 1.0), (9.0, 0.0, 1.0), (9.0, 9.0, 0.0)])
def test_a_batch_without_an_arm_or_a_known_variance_says_nothing(canary, control, variance):
    assert not mean.level_increments(9.0, canary, 9.0, control, variance=variance, effects=[1.0], side="less").any()
