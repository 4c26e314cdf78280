"""The range beside a difference: it agrees with the verdict, and holds the truth however often it is looked at."""

import numpy as np
import pytest

from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.model.confidence_range import Estimate, compute_range
from core.metrics.catalogue import CATALOGUE
from tests.trials.length import pick

REFUSALS = CATALOGUE["refusal_rate"]
LIMIT = Limit(
    metric="refusal_rate", kind=LimitKind.RISES_BY, amount=0.01, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK
)


def seen(canary: float, n_canary: float, control: float, n_control: float) -> Estimate:
    return Estimate(canary=canary, control=control, error=None, n_canary=n_canary, n_control=n_control)


def test_harm_that_is_proven_shows_a_range_above_zero():
    # 13 of 129 against 2.1 % of 2,400: what the exact kernel calls harm after a little more than a minute.
    low, high = compute_range(LIMIT, REFUSALS, seen(13 / 129, 129, 0.021, 2400))
    assert low is not None
    assert high is not None
    assert 0 < low < 13 / 129 - 0.021 < high


def test_swapping_the_arms_mirrors_the_range():
    low, high = compute_range(LIMIT, REFUSALS, seen(0.08, 400, 0.02, 900))
    mirrored = compute_range(LIMIT, REFUSALS, seen(0.02, 900, 0.08, 400))
    assert mirrored == pytest.approx((-high, -low))


def test_correlated_requests_widen_it():
    narrow = compute_range(LIMIT, REFUSALS, seen(0.08, 400, 0.02, 4000))
    wide = compute_range(
        LIMIT, REFUSALS, Estimate(canary=0.08, control=0.02, error=None, n_canary=400, n_control=4000, design_effect=2)
    )
    assert wide[0] < narrow[0]
    assert wide[1] > narrow[1]


@pytest.mark.parametrize(("canary_rate", "control_rate"), [(0.02, 0.02), (0.08, 0.02), (0.92, 0.92), (0.005, 0.005)])
def test_it_holds_the_truth_at_every_look(canary_rate, control_rate):
    rng = np.random.default_rng(20261123)
    runs, looks, canary, control = (
        pick(60, 200),
        120,
        17,
        316,
    )  # a tick of ten seconds at 2,000 requests a minute and 5 %
    missed = 0
    for _ in range(runs):
        s_t = np.cumsum(rng.binomial(canary, canary_rate, looks))
        s_c = np.cumsum(rng.binomial(control, control_rate, looks))
        for k in range(1, looks + 1):
            low, high = compute_range(
                LIMIT, REFUSALS, seen(s_t[k - 1] / (canary * k), canary * k, s_c[k - 1] / (control * k), control * k)
            )
            if not low <= canary_rate - control_rate <= high:
                missed += 1
                break
    assert missed <= pick(7, 17)  # 3 and 10 expected at 5 %; more has probability 0.01


@pytest.mark.parametrize("control", [1 - 2**-53, 1.0, 1 + 2**-52])
def test_a_rate_at_which_everything_passes_has_a_range_whatever_the_rounding(control):
    # A level over several stages is a weighted sum, so 100 % comes out a little below or above it.
    low, high = compute_range(None, CATALOGUE["eval_pass_rate"], seen(0.9, 500, control, 9_000))
    assert low < -0.1 < high < 0
