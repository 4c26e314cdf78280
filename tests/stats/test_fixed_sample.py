"""Intervals and tests for a sample that is looked at once, against scipy's own and by simulation."""

import numpy as np
import pytest
from scipy import stats

from core.stats.fixed_horizon import fixed_sample


@pytest.mark.parametrize(("successes", "trials"), [(188, 200), (0, 20), (20, 20), (1, 3), (919, 1000)])
def test_the_interval_of_a_rate_is_the_exact_one(successes, trials):
    known = stats.binomtest(successes, trials).proportion_ci(0.95, "exact")
    assert fixed_sample.proportion_interval(successes, trials) == pytest.approx((known.low, known.high))


@pytest.mark.parametrize(("broke", "mended"), [(7, 2), (2, 7), (0, 0), (5, 5), (0, 6), (30, 12)])
def test_mcnemar_is_a_sign_test_on_the_cases_that_differ(broke, mended):
    known = stats.binomtest(broke, broke + mended, 0.5).pvalue if broke + mended else 1.0
    assert fixed_sample.exact_mcnemar(broke, mended) == pytest.approx(known)


@pytest.mark.parametrize(("size", "q"), [(30, 0.5), (100, 0.95), (300, 0.95), (40, 0.95)])
def test_the_interval_of_a_quantile_covers_it_at_least_as_often_as_it_says(size, q):
    rng = np.random.default_rng(20261129)
    covered = 0
    for _ in range(2000):
        low, high = fixed_sample.quantile_interval(sorted(rng.random(size)), q)
        covered += (low is None or low <= q) and (high is None or q <= high)
    assert covered >= 0.94 * 2000


def test_an_end_that_a_sample_cannot_bound_is_open():
    assert fixed_sample.quantile_interval([*range(71)], 0.95)[1] is None
    assert fixed_sample.quantile_interval([*range(72)], 0.95)[1] == 71
    assert fixed_sample.quantile_interval([1.0], 0.5) == (None, None)


def test_the_nearest_rank_is_a_value_that_was_seen():
    assert fixed_sample.nearest_rank([1.0] * 19 + [2.0], 0.95) == 1.0
    assert fixed_sample.nearest_rank([1.0] * 18 + [2.0] * 2, 0.95) == 2.0
    assert fixed_sample.nearest_rank([3.0], 0.5) == 3.0


def test_the_interval_of_a_ratio_covers_it_as_often_as_it_says():
    rng = np.random.default_rng(20261129)
    covered = 0
    for _ in range(2000):
        current = rng.lognormal(0.0, 0.8, 150)
        found = fixed_sample.ratio_interval([*(current * 1.2 * rng.lognormal(-0.02, 0.2, 150))], [*current])
        covered += found is not None and found[0] <= 1.2 <= found[1]
    assert 0.92 * 2000 <= covered <= 0.98 * 2000


def test_a_ratio_of_nothing_has_no_interval():
    assert fixed_sample.ratio_interval([1.0], [1.0]) is None
    assert fixed_sample.ratio_interval([1.0, 2.0], [0.0, 0.0]) is None
