"""The sample ratio, and many tests at once."""

import numpy as np
import pytest

from bench.measuring.weighted_sum import weighted_log_e
from core.stats.multiplicity import e_bh
from core.stats.sequential.split import log_bayes_factor


def test_two_units_in_a_row_as_worked_by_hand():
    # The first unit has the design's chance under every concentration; the second (k/2 + 1) / (k + 1) against 1/2.
    expected = np.mean([2 * (k / 2 + 1) / (k + 1) for k in (50, 500, 5000, 50000)])
    assert log_bayes_factor([[1, 0], [1, 0]], [0.5, 0.5]) == pytest.approx([0.0, np.log(expected)], abs=1e-9)


def test_three_arms_and_any_batching_of_the_ticks():
    counts = np.array([[5, 40, 60], [9, 44, 55], [2, 39, 61]])
    design = [0.05, 0.4, 0.55]
    whole = log_bayes_factor(counts.sum(axis=0, keepdims=True), design)
    assert log_bayes_factor(counts, design)[-1] == pytest.approx(whole[0])
    assert log_bayes_factor(counts[:, [2, 0, 1]], [0.55, 0.05, 0.4])[-1] == pytest.approx(whole[0])


def test_a_split_of_4_instead_of_5_percent_is_found_within_twice_the_measured_delay():
    rng = np.random.default_rng(8)
    canary = rng.binomial(100, 0.04, (100, 200))
    found = log_bayes_factor(np.stack([canary, 100 - canary], axis=-1), [0.05, 0.95]) >= np.log(1000)
    assert np.median(np.where(found.any(axis=-1), found.argmax(axis=-1), 200)) * 100 <= 15_700


def test_a_split_as_designed_is_left_alone():
    rng = np.random.default_rng(9)
    canary = rng.binomial(100, 0.05, (500, 200))
    found = log_bayes_factor(np.stack([canary, 100 - canary], axis=-1), [0.05, 0.95]).max(axis=-1)
    assert (found >= np.log(1000)).sum() <= 3


@pytest.mark.parametrize("design", [[0.5, 0.6], [1.0, 0.0], [1.0], [0.5, np.nan], [[0.5, 0.5]]])
def test_a_bad_design_is_refused(design):
    with pytest.raises(ValueError):
        log_bayes_factor([[1, 1]], design)


@pytest.mark.parametrize("counts", [[[-1, 1]], [[np.nan, 1]], [1, 1], [[1, 1, 1]]])
def test_bad_counts_are_refused(counts):
    with pytest.raises(ValueError):
        log_bayes_factor(counts, [0.5, 0.5])


def test_a_weighted_sum_as_worked_by_hand():
    logs = np.log([[40.0, 4.0, 0.5], [1.0, 1.0, 1.0]])
    assert np.exp(weighted_log_e(logs, [0.5, 0.25, 0.25])) == pytest.approx([21.125, 1.0])
    assert weighted_log_e([-np.inf, -np.inf], [0.5, 0.5]) == -np.inf
    assert np.exp(weighted_log_e([np.inf, np.log(3.0)], [0.0, 1.0])) == pytest.approx(3.0)


@pytest.mark.parametrize("weights", [[0.6, 0.6], [-0.1, 0.5], [np.nan, 0.5], [0.5], [[0.5, 0.5]]])
def test_bad_weights_are_refused(weights):
    with pytest.raises(ValueError):
        weighted_log_e([0.0, 0.0], weights)


def test_e_bh_as_worked_by_hand():
    # Four tests at 0.1: the k largest need 40, 20, 13.3, 10.
    logs = np.log([[3.0, 100.0, 1.0, 21.0], [39.0, 19.0, 13.0, 9.0], [11.0, 12.0, 10.5, 13.0]])
    assert e_bh(logs, 0.1).tolist() == [[False, True, False, True], [False] * 4, [True] * 4]
    assert e_bh([-np.inf, np.log(50)], 0.1).tolist() == [False, True]


def test_e_bh_nests_in_alpha():
    logs = np.random.default_rng(4).normal(1, 3, (50, 12))
    few, many = e_bh(logs, 0.01), e_bh(logs, 0.2)
    assert (many | ~few).all()
    assert many.sum() > few.sum()


@pytest.mark.parametrize(("logs", "alpha"), [([np.nan, 0.0], 0.1), ([0.0], 0.0), ([0.0], 1.5), ([0.0], np.nan)])
def test_e_bh_refuses_nonsense(logs, alpha):
    with pytest.raises(ValueError):
        e_bh(logs, alpha)
