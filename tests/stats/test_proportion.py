"""The exact kernels: hand-worked values, validity by enumeration, laws, and calibration under peeking and ramps."""

from itertools import product
from math import comb, log

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from bench.measuring.cumulative import log_e_two_sample
from core.stats import planning
from core.stats.sequential import projection, proportion
from core.stats.sequential.proportion import (
    log_mean,
    one_sample_increments,
    two_sample_increments,
)


def test_one_pair_of_requests_as_worked_by_hand():
    # Turner et al.: control was 1 of 2, so p_C = 1.5/3 = 0.5; odds 3 make p_T = 0.75; the null point is their mean.
    # A canary success beside a control failure: 0.75/0.625 * 0.5/0.375 = 1.6.
    found = log_e_two_sample([0, 1], [0, 1], [1, 0], [2, 1], side="greater", alternatives=[3.0])
    assert found == pytest.approx([0.0, log(1.6)])


def test_one_sample_as_worked_by_hand():
    # bound 0.2, odds 4: p = 0.8/1.6 = 0.5. Two of three: (0.5/0.2)^2 * (0.5/0.8) = 3.90625.
    greater = one_sample_increments([2], [3], side="greater", bound=0.2, alternatives=[4.0])
    assert log_mean(greater) == pytest.approx([log(3.90625)])
    # "less", odds 1/4: p = 0.05/0.85 = 1/17. None of three: (16/17 / 0.8)^3.
    less = one_sample_increments([0], [3], side="less", bound=0.2, alternatives=[4.0])
    assert log_mean(less) == pytest.approx([3 * log(16 / 17 / 0.8)])


def test_components_are_mixed_equally():
    # Components 1.6 (above) and, at odds 9: p_T = 0.9, null 0.7, 0.9/0.7 * 0.5/0.3 = 15/7; the mean of the two.
    found = log_e_two_sample([0, 1], [0, 1], [1, 0], [2, 1], side="greater", alternatives=[3.0, 9.0])
    assert found[-1] == pytest.approx(log((1.6 + 15 / 7) / 2))


@pytest.mark.parametrize(("ratio", "shift"), [(1.0, 0.02), (1.0, -0.03), (1.15, 0.0), (0.9, 0.01), (1.3, -0.05)])
@pytest.mark.parametrize(("n_T", "n_C"), [(1, 1), (20, 380), (500, 3)])
def test_the_null_point_is_the_one_a_general_optimiser_finds(ratio, shift, n_T, n_C):
    p_T, p_C = 0.35, 0.21

    def divergence(p, q):
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

    def cost(x):
        return n_T * divergence(p_T, ratio * x + shift) + n_C * divergence(p_C, x)

    low, high = max(0, -shift / ratio) + 1e-9, min(1, (1 - shift) / ratio) - 1e-9
    best = minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1e-12})
    arrays = [np.array([float(v)]) for v in (p_T, p_C, n_T, n_C)]
    y, x = projection.nearest_null(*arrays, ratio=ratio, shift=shift, where=np.array([True]))
    assert x[0] == pytest.approx(best.x, abs=1e-6)
    assert y[0] == pytest.approx(ratio * x[0] + shift)


@pytest.mark.parametrize("side", ["greater", "less"])
@pytest.mark.parametrize(
    ("ratio", "shift"), [(1.0, 0.0), (1.0, 0.05), (1.0, -0.05), (1.2, 0.0), (0.8, 0.0), (1.0, 0.6), (1.0, -0.6)]
)
@pytest.mark.parametrize("control", [(0, 3), (2, 3), (3, 3)])
def test_its_expectation_under_every_null_is_at_most_one(side, ratio, shift, control):
    # Exact enumeration of one tick of 3 + 4 requests, over null points on and inside the boundary.
    n_T, n_C = 3, 4
    outcomes = list(product(range(n_T + 1), range(n_C + 1)))
    s_T, s_C = (np.array(column) for column in zip(*outcomes, strict=True))
    steps = two_sample_increments(
        s_T, np.full(s_T.shape, n_T), s_C, np.full(s_C.shape, n_C),
        earlier_successes=np.full(s_T.shape, control[0]), earlier_trials=np.full(s_T.shape, control[1]),
        side=side, ratio=ratio, shift=shift,
    )  # fmt: skip
    e = np.exp(log_mean(steps))
    ways = np.array([comb(n_T, a) * comb(n_C, b) for a, b in outcomes])
    for x in np.linspace(0.0, 1.0, 101):
        edge = ratio * x + shift
        if edge < 0 if side == "greater" else edge > 1:
            continue  # beside this control rate no canary rate is in H0
        for y in np.linspace(0, min(edge, 1), 5) if side == "greater" else np.linspace(max(edge, 0), 1, 5):
            chance = ways * y**s_T * (1 - y) ** (n_T - s_T) * x**s_C * (1 - x) ** (n_C - s_C)
            assert float((chance * e).sum()) <= 1 + 1e-9


def test_failures_mirror_successes():
    rng = np.random.default_rng(5)
    n_T, n_C = np.full(40, 20), np.full(40, 100)
    s_T, s_C = rng.binomial(n_T, 0.8), rng.binomial(n_C, 0.9)
    fewer = log_e_two_sample(s_T, n_T, s_C, n_C, side="less", shift=-0.02)
    more = log_e_two_sample(n_T - s_T, n_T, n_C - s_C, n_C, side="greater", shift=0.02)
    assert fewer == pytest.approx(more)


def test_adding_ticks_online_equals_the_cumulative_form():
    rng = np.random.default_rng(6)
    n_T, n_C = rng.integers(0, 9, 60), rng.integers(0, 90, 60)
    s_T, s_C = rng.binomial(n_T, 0.1), rng.binomial(n_C, 0.05)
    online, components, seen = [], 0.0, (0, 0)
    for a, b, c, d in zip(s_T, n_T, s_C, n_C, strict=True):
        components = components + two_sample_increments(
            a, b, c, d, earlier_successes=seen[0], earlier_trials=seen[1], side="greater", ratio=1.1
        )
        seen = (seen[0] + c, seen[1] + d)
        online.append(float(log_mean(components)))
    assert online == pytest.approx(log_e_two_sample(s_T, n_T, s_C, n_C, side="greater", ratio=1.1), abs=1e-12)


def test_leading_axes_are_independent_runs():
    rng = np.random.default_rng(7)
    n_T, n_C = np.full((3, 2, 30), 10), np.full((3, 2, 30), 50)
    s_T, s_C = rng.binomial(n_T, 0.3), rng.binomial(n_C, 0.2)
    whole = log_e_two_sample(s_T, n_T, s_C, n_C, side="greater", shift=0.02)
    assert whole.shape == (3, 2, 30)
    one = log_e_two_sample(s_T[1, 0], n_T[1, 0], s_C[1, 0], n_C[1, 0], side="greater", shift=0.02)
    assert whole[1, 0] == pytest.approx(one)


def test_ticks_that_cannot_speak_add_nothing():
    silent = log_e_two_sample([1, 0, 2], [3, 0, 2], [1, 1, 0], [5, 5, 0], side="greater")
    assert silent == pytest.approx([0.0, 0.0, 0.0])  # no base yet; no canary; no control
    # H0 canary <= control + 0.3 at a control of 0.9: every rate lies inside H0, also beyond the clipped edge.
    assert log_e_two_sample([0, 50], [0, 50], [90, 90], [100, 100], side="greater", shift=0.3)[-1] == 0.0


@pytest.mark.parametrize(("ratio", "shift"), [(1.0, 0.0), (1.2, 0.0), (1.0, 0.02), (0.9, -0.01)])
def test_a_tick_twice_as_large_tells_twice_as_much(ratio, shift):
    # Given the base rate the null point depends on the split alone, so a component's gain is homogeneous in the counts.
    earlier = {"earlier_successes": 70, "earlier_trials": 800}
    once, twice = (
        two_sample_increments(k * 3, k * 20, k * 8, k * 90, **earlier, side="greater", ratio=ratio, shift=shift)
        for k in (1, 2)
    )
    assert twice == pytest.approx(2 * once)


@pytest.mark.parametrize("side", ["greater", "less"])
def test_no_margin_is_the_limit_of_a_small_one(side):
    # The pooled null point of "any harm" and the solver of margins are two roads to one place.
    counts = {"earlier_successes": 40, "earlier_trials": 60, "side": side, "alternatives": [1.5, 4.0]}
    without = two_sample_increments(12, 20, 61, 90, **counts)
    nearly = two_sample_increments(12, 20, 61, 90, shift=1e-10, **counts)
    assert nearly == pytest.approx(without, abs=1e-6)


@pytest.mark.parametrize(
    ("control", "canary", "side"),
    [(0.90, 0.88, "less"), (0.90, 0.50, "less"), (0.005, 0.0075, "greater"), (0.005, 0.05, "greater")],
)
def test_slight_and_gross_harm_both_make_a_component_grow(control, canary, side):
    # A gain is linear in the counts, so expected counts give the expected gain. At 2 points an odds ratio of 1.4 gains
    # half of what is possible; with a grid that begins higher, such harm would never be found.
    expected = two_sample_increments(
        5 * canary, 5, 95 * control, 95, earlier_successes=1e6 * control, earlier_trials=1e6, side=side
    )
    best = 5 * planning.growth(control, canary, 0.05)
    assert 0.75 * best < expected.max() <= best * (1 + 1e-6)


def test_the_null_point_leaves_no_slope_at_any_size():
    rng = np.random.default_rng(12)
    n_T, n_C = 10 ** rng.uniform(0, 6, (2, 500))
    p_C = rng.uniform(0.01, 0.8, 500)
    p_T = p_C + rng.uniform(0.05, 0.15, 500)
    y, x = projection.nearest_null(p_T, p_C, n_T, n_C, ratio=1.1, shift=0.01, where=np.ones(500, dtype=bool))
    slopes = 1.1 * n_T * (p_T - y) / (y * (1 - y)), n_C * (p_C - x) / (x * (1 - x))
    assert (slopes[0] + slopes[1]) / (n_T + n_C) == pytest.approx(np.zeros(500), abs=1e-10)


def test_a_mixture_of_very_unequal_components_stays_finite():
    assert log_mean([2000.0, -2000.0]) == pytest.approx(2000 - log(2))
    assert log_mean([[0.0, -np.inf], [-np.inf, -np.inf]]) == pytest.approx([-log(2), -np.inf])


TWO = {"canary_successes": [1.0], "canary_trials": [2.0], "control_successes": [1.0], "control_trials": [2.0]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"canary_successes": [3.0]},
        {"canary_trials": [-1.0], "canary_successes": [-1.0]},
        {"control_successes": [np.nan]},
        {"control_trials": [np.inf]},
        {"control_successes": [1.0, 1.0, 1.0], "control_trials": [2.0, 2.0]},
        {"side": "up"},
        {"ratio": 0.0},
        {"ratio": -1.0},
        {"shift": np.nan},
        {"alternatives": [1.0]},
        {"alternatives": []},
        {"shift": -1.0},
    ],
)
def test_impossible_input_is_refused(wrong):
    with pytest.raises(ValueError):
        log_e_two_sample(**{**TWO, "side": "greater", **wrong})


@pytest.mark.parametrize("bound", [0.0, 1.0, -0.1, np.nan])
def test_a_bound_is_a_proportion_strictly_inside(bound):
    with pytest.raises(ValueError):
        one_sample_increments([1], [2], side="greater", bound=bound)


RUNS, LOOKS = 400, 100


def false_alarms(s_T, n_T, s_C, n_C, **asked):
    return int((log_e_two_sample(s_T, n_T, s_C, n_C, **asked).max(axis=-1) >= log(20)).sum())


@pytest.mark.shows("E31")
@pytest.mark.parametrize(("rate", "side"), [(0.9, "less"), (0.005, "greater")])
def test_looking_a_hundred_times_rarely_raises_a_false_alarm(rate, side):
    rng = np.random.default_rng(20261123)
    n_T, n_C = np.full((RUNS, LOOKS), 20), np.full((RUNS, LOOKS), 380)
    # 20 expected at the full 5 %; 32 or more has a chance of 1 in 150.
    assert false_alarms(rng.binomial(n_T, rate), n_T, rng.binomial(n_C, rate), n_C, side=side) <= 31


@pytest.mark.shows("E31")
def test_a_ramp_while_everything_drifts_raises_none_either():
    rng = np.random.default_rng(20261124)
    share = np.repeat([0.01, 0.05, 0.25, 0.5], LOOKS // 4)
    n_T = np.broadcast_to((400 * share).astype(int), (RUNS, LOOKS))
    rate = np.linspace(0.92, 0.82, LOOKS)
    n_C = 400 - n_T
    assert false_alarms(rng.binomial(n_T, rate), n_T, rng.binomial(n_C, rate), n_C, side="less") <= 31


def test_at_the_margin_itself_neither_strict_nor_clearing_speaks_too_often():
    rng = np.random.default_rng(20261125)
    n = np.full((RUNS, LOOKS), 100)
    control, harmed = rng.binomial(n, 0.90), rng.binomial(n, 0.88)
    assert false_alarms(harmed, n, control, n, side="less", shift=-0.02) <= 31  # "it is worse than the margin"
    assert false_alarms(harmed, n, control, n, side="greater", shift=-0.02) <= 31  # "it is within the margin"


def test_harm_is_found_about_as_fast_as_promised():
    # The oracle (SPRT that knows both rates) needs 200 canary requests for 0.90 -> 0.85; twice that is allowed.
    rng = np.random.default_rng(20261126)
    n_T, n_C = np.full((RUNS, 200), 5), np.full((RUNS, 200), 95)
    found = log_e_two_sample(rng.binomial(n_T, 0.85), n_T, rng.binomial(n_C, 0.90), n_C, side="less") >= log(20)
    first = np.where(found.any(axis=-1), found.argmax(axis=-1) + 1, 200) * 5
    assert np.median(first) <= 400


def test_the_range_of_a_rate_is_the_beta_binomial_one():
    # 12 of 133: the ends solve B(12.5, 121.5)/B(.5, .5) / (p^12 (1-p)^121) = 40, found here by brute force.
    from scipy.special import betaln

    low, high = proportion.confidence_sequence(12, 133, alpha=0.025)
    grid = np.linspace(1e-5, 1 - 1e-5, 200_001)
    log_ratio = betaln(12.5, 121.5) - betaln(0.5, 0.5) - (12 * np.log(grid) + 121 * np.log1p(-grid))
    kept = grid[log_ratio < np.log(40)]
    assert low == pytest.approx(kept[0], abs=1e-4)
    assert high == pytest.approx(kept[-1], abs=1e-4)


def test_the_range_of_a_rate_mirrors_narrows_and_knows_nothing_at_first():
    assert proportion.confidence_sequence(0, 0, alpha=0.05) == (0.0, 1.0)
    low, high = proportion.confidence_sequence(3, 40, alpha=0.05)
    assert proportion.confidence_sequence(37, 40, alpha=0.05) == pytest.approx((1 - high, 1 - low))
    wider = proportion.confidence_sequence(3, 40, alpha=0.01)
    assert wider[0] < low < 3 / 40 < high < wider[1]
    assert proportion.confidence_sequence(0, 40, alpha=0.05)[0] == 0.0


def test_the_range_of_a_rate_holds_it_however_often_one_looks():
    rng = np.random.default_rng(20261123)
    missed = 0
    for _ in range(200):
        s = np.cumsum(rng.random(600) < 0.05)
        missed += any(
            not low <= 0.05 <= high
            for n in range(10, 601, 10)
            for low, high in [proportion.confidence_sequence(s[n - 1], n, alpha=0.1)]
        )
    assert missed <= 32  # 20 expected at most; above 32 has probability 0.005


@pytest.mark.parametrize(("successes", "trials"), [(5e-324, 1.0), (1e-300, 3.0), (1 - 1e-16, 1.0), (3 - 5e-16, 3.0)])
def test_a_range_is_found_however_near_its_end_the_rate_is(successes: float, trials: float) -> None:
    low, high = proportion.confidence_sequence(successes, trials, alpha=0.05)
    assert 0 <= low <= successes / trials <= high <= 1
