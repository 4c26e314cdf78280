"""Log-histograms, design effects and event rates."""

from collections import Counter
from math import comb, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.stats import clustering, quantile
from core.stats.sequential import rate
from core.stats.sequential.proportion import log_mean, two_sample_increments


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_a_bin_stands_for_its_values_within_one_percent(value):
    assert quantile.bin_value(quantile.bin_index(value)) == pytest.approx(value, rel=0.0101)


@given(st.integers(min_value=-500, max_value=1000))
def test_the_upper_edge_is_the_last_value_of_its_bin(position):
    edge = quantile.upper_edge(position)
    assert quantile.bin_index(edge) == position
    assert quantile.bin_index(edge * 1.0001) == position + 1


@given(st.lists(st.floats(min_value=0, max_value=1e12), min_size=1))
def test_many_values_fall_into_the_bins_that_each_of_them_does(values):
    assert quantile.bin_indices(np.array(values)).tolist() == [quantile.bin_index(value) for value in values]


def test_quantiles_agree_with_sorting_and_merge_by_addition():
    values = np.random.default_rng(2).lognormal(7, 0.6, 20_000)
    halves = [Counter(quantile.bin_index(x) for x in part) for part in (values[:7000], values[7000:])]
    for q in (0.5, 0.95, 0.99):
        assert quantile.estimate_quantile(halves[0] + halves[1], q) == pytest.approx(np.quantile(values, q), rel=0.015)


def test_what_exceeds_is_never_overstated():
    values = np.random.default_rng(2).lognormal(7, 0.6, 5_000)
    counts = Counter(quantile.bin_index(x) for x in values)
    for threshold in (900.0, 2500.0, 4000.0):
        assert (
            (values > threshold * 1.02).sum() <= quantile.count_above(counts, threshold) <= (values > threshold).sum()
        )


def test_nothing_counted_has_no_quantile():
    assert quantile.estimate_quantile({}, 0.95) is None
    assert quantile.estimate_quantile({3: 0}, 0.95) is None
    assert quantile.estimate_quantile({quantile.bin_index(0.0): 4}, 0.5) == 0.0


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_histogram_refuses_what_is_no_duration(value):
    with pytest.raises(ValueError):
        quantile.bin_index(value)


def test_a_design_effect_as_worked_by_hand():
    # Two buckets of 10 with 8 and 2: p = .5, residuals 3 and -3, B/(B-1) * 18 = 36 against 20 * .25 = 5: 7.2.
    assert clustering.design_effect([[[10.0, 8.0], [10.0, 2.0]]]) == pytest.approx(7.2)
    assert clustering.design_effect([[[10.0, 5.0], [10.0, 5.0]]]) == 1.0  # never below 1
    assert clustering.design_effect([[[10.0, 0.0], [10.0, 0.0]]]) == 1.0  # nothing varies


def test_correlated_requests_raise_the_design_effect_and_independent_ones_do_not():
    rng = np.random.default_rng(11)
    own = rng.beta(2, 18, 4000)  # intra-class correlation 1/21, 10 requests each: 1 + 9/21
    bucket = rng.integers(0, 256, 4000)
    correlated = [np.bincount(bucket, weights=w, minlength=256) for w in (np.full(4000, 10.0), rng.binomial(10, own))]
    independent = [correlated[0], rng.binomial(correlated[0].astype(int), 0.1)]
    assert clustering.design_effect(np.stack(correlated, -1)[None]) == pytest.approx(1 + 9 / 21, rel=0.25)
    assert clustering.design_effect(np.stack(independent, -1)[None]) < 1.25


def test_the_design_effect_of_a_mean_compares_with_independent_values():
    # Two buckets of 10 with sums 30 and 10: level 2, residuals 10 and -10, 2 * 200 = 400 against 20 * 4: 5.
    assert clustering.design_effect_of_mean([[[10.0, 30.0], [10.0, 10.0]]], 4.0) == pytest.approx(5.0)
    assert clustering.design_effect_of_mean([[[10.0, 30.0], [10.0, 10.0]]], 0.0) == 1.0


def test_tempering_keeps_a_cluster_from_crying_wolf():
    # 120 canary users with 30 requests each, ICC 0.2, no effect: untempered this is far above 5 %.
    rng = np.random.default_rng(20261128)
    runs, looks, users, canaries = 200, 60, 1200, 120
    bucket = rng.integers(0, 256, users)
    raw = tempered = 0
    for _ in range(runs):
        own = rng.beta(0.4, 3.6, users)
        seen = rng.binomial(1, 0.5, (looks, users))
        hits = rng.binomial(seen, own)
        s_T, n_T = hits[:, :canaries].sum(1), seen[:, :canaries].sum(1)
        s_C, n_C = hits[:, canaries:].sum(1), seen[:, canaries:].sum(1)
        sums = [np.bincount(bucket[canaries:], weights=x[:, canaries:].sum(0), minlength=256) for x in (seen, hits)]
        effect = float(clustering.design_effect(np.stack(sums, -1)[None]))
        before = np.cumsum(s_C) - s_C, np.cumsum(n_C) - n_C
        components = np.cumsum(
            two_sample_increments(
                s_T, n_T, s_C, n_C, earlier_successes=before[0], earlier_trials=before[1], side="greater"
            ),
            axis=0,
        )
        raw += log_mean(components).max() >= log(20)
        tempered += log_mean(components / effect).max() >= log(20)
    assert raw > 20
    assert tempered <= 18  # 10 expected at 5 %; more than 18 has a chance of 1 in 100


def test_rates_as_worked_by_hand():
    # Exposures 10 and 90, kappa among the grid; one canary event alone: E = mean kappa * 100 / (10 kappa + 90).
    kappa = np.geomspace(1.4, 8, 5)
    found = rate.log_e_two_sample([1], [0], [10], [90], side="greater")
    assert np.exp(found) == pytest.approx([np.mean(kappa * 100 / (10 * kappa + 90))])


def test_the_rate_kernel_is_fair_given_any_number_of_events():
    events = 6
    for ratio in (1.0, 1.5):
        share = ratio * 10 / (ratio * 10 + 90)
        chances = [comb(events, k) * share**k * (1 - share) ** (events - k) for k in range(events + 1)]
        k = np.arange(events + 1)
        logs = log_mean(
            rate.two_sample_increments(k, events - k, np.full(7, 10.0), np.full(7, 90.0), side="greater", ratio=ratio)
        )
        assert np.dot(chances, np.exp(logs)) == pytest.approx(1.0)
