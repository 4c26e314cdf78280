"""Shapes that numpy broadcasts are broadcast, and mean what each pair alone means."""

import numpy as np
import pytest

from bench.measuring import cumulative
from bench.measuring.contrasts import contrast
from core.stats import clustering
from core.stats.sequential import mean, onset, proportion, rate

CHANCE = np.random.default_rng(7)
TRIALS = CHANCE.integers(5, 40, size=(3, 1, 5)).astype(float)
CANARY = CHANCE.binomial(TRIALS.astype(int), 0.3).astype(float)
CONTROLS = CHANCE.integers(5, 40, size=(1, 4, 5)).astype(float)
CONTROL = CHANCE.binomial(CONTROLS.astype(int), 0.2).astype(float)


def test_every_pair_of_two_sets_of_arms_is_compared():
    both = cumulative.log_e_two_sample(CANARY, TRIALS, CONTROL, CONTROLS, side="greater")
    assert both.shape == (3, 4, 5)
    for i in range(3):
        for j in range(4):
            alone = cumulative.log_e_two_sample(
                CANARY[i, 0], TRIALS[i, 0], CONTROL[0, j], CONTROLS[0, j], side="greater"
            )
            assert both[i, j] == pytest.approx(alone, abs=1e-12)


def test_one_control_serves_many_canaries():
    many = cumulative.log_e_two_sample(CANARY[:, 0], TRIALS[:, 0], CONTROL[0, 0], CONTROLS[0, 0], side="less")
    assert many.shape == (3, 5)
    alone = cumulative.log_e_two_sample(CANARY[1, 0], TRIALS[1, 0], CONTROL[0, 0], CONTROLS[0, 0], side="less")
    assert many[1] == pytest.approx(alone, abs=1e-12)


def test_one_tick_that_stands_for_all_is_counted_at_each():
    same = cumulative.log_e_two_sample(CANARY[0, 0], TRIALS[0, 0], [3.0], [20.0], side="greater")
    spelt = cumulative.log_e_two_sample(CANARY[0, 0], TRIALS[0, 0], [3.0] * 5, [20.0] * 5, side="greater")
    assert same == pytest.approx(spelt, abs=1e-12)


def test_trials_and_exposures_are_broadcast_too():
    assert proportion.one_sample_increments(CANARY, 40.0, side="greater", bound=0.2).shape[:-1] == (3, 1, 5)
    assert rate.log_e_two_sample(CANARY, CONTROL, 100.0, TRIALS, side="greater").shape == (3, 4, 5)
    assert onset.advance_mixture(np.zeros((6, 5)), np.ones(5), forget=0.0, log_start=None).shape == (6, 5)
    sums = CHANCE.uniform(1, 2, size=(4, 2, 8, 2))
    estimate, error = contrast(sums, sums[:1])
    assert estimate.shape == error.shape == (4,)


def test_what_numpy_cannot_broadcast_is_refused_with_every_shape():
    with pytest.raises(ValueError, match=r"canary_successes \(2,\).*control_successes \(3,\)"):
        cumulative.log_e_two_sample([1, 1], [2, 2], [1, 1, 1], [2, 2, 2], side="greater")


def test_stages_that_are_left_out_count_as_if_nothing_had_come_in():
    """Several choices of stages in one call say what a call for each says, whose other stages are empty."""
    rng = np.random.default_rng(5)
    arms = [rng.uniform(1, 9, (2, 3, 8, 1)) * [1, 0] for _ in range(2)]  # two cells of three stages
    canary, control = (arm + arm[..., :1] * rng.uniform(0, 1, (2, 3, 8, 1)) * [0, 1] for arm in arms)
    chosen = np.array([[True, True, True], [False, True, True], [False, False, True], [False, False, False]])
    levels = mean.stratify_levels(canary, control, included=chosen[:, np.newaxis])
    pooled = mean.pooled_level(canary, included=chosen[:, np.newaxis])
    effects = clustering.design_effect(canary, included=chosen[:, np.newaxis])
    for row, which in enumerate(chosen):
        kept = which[:, np.newaxis, np.newaxis]
        alone = mean.stratify_levels(canary * kept, control * kept)
        np.testing.assert_allclose(levels.canary[row], alone.canary)
        np.testing.assert_allclose(levels.control[row], alone.control)
        np.testing.assert_allclose(levels.standard_error(1.1)[row], alone.standard_error(1.1))
        for got, expected in zip(pooled, mean.pooled_level(canary * kept), strict=True):
            np.testing.assert_allclose(got[row], expected)
        np.testing.assert_allclose(effects[row], clustering.design_effect(canary * kept))
