"""How long it takes to show that a limit is kept: against published distances, and against the kernel itself."""

from math import inf, log

import numpy as np
import pytest

from bench.measuring import cumulative
from core.stats import noninferiority_planning


def test_two_points_at_ninety_percent_take_as_long_as_their_distance_says():
    # 5 % canary, 95 % control: log(20) over the Kullback-Leibler distance is 1,567 canary requests.
    needed = noninferiority_planning.noninferiority_canary_trials(
        0.9, side="greater", ratio=1.0, shift=-0.02, canary_share=0.05
    )
    assert needed / noninferiority_planning.MIXTURE_COST == pytest.approx(1567, rel=0.01)


def test_a_mirrored_question_takes_as_long():
    less = noninferiority_planning.noninferiority_canary_trials(
        0.1, side="less", ratio=1.0, shift=0.02, canary_share=0.2
    )
    more = noninferiority_planning.noninferiority_canary_trials(
        0.9, side="greater", ratio=1.0, shift=-0.02, canary_share=0.2
    )
    assert less == pytest.approx(more)


def test_half_the_margin_takes_about_four_times_as_long():
    wide, narrow = (
        noninferiority_planning.noninferiority_canary_trials(0.5, side="less", ratio=1.0, shift=m, canary_share=0.5)
        for m in (0.02, 0.01)
    )
    assert narrow / wide == pytest.approx(4, rel=0.01)


def test_equal_rates_inside_the_hypothesis_are_never_shown():
    assert (
        noninferiority_planning.noninferiority_canary_trials(0.1, side="less", ratio=0.9, shift=0.0, canary_share=0.5)
        == inf
    )
    assert noninferiority_planning.noninferiority_trials_against(0.05, bound=0.05) == inf


def test_a_limit_that_no_rate_could_break_needs_nothing():
    assert (
        noninferiority_planning.noninferiority_canary_trials(0.9, side="less", ratio=1.0, shift=0.2, canary_share=0.5)
        == 0
    )


def test_one_sample_by_hand():
    distance = 0.02 * log(0.02 / 0.05) + 0.98 * log(0.98 / 0.95)
    assert noninferiority_planning.noninferiority_trials_against(0.02, bound=0.05) == pytest.approx(
        noninferiority_planning.MIXTURE_COST * log(20) / distance
    )


def test_the_kernel_takes_about_as_long_as_is_said():
    random, runs = np.random.default_rng(5), 200
    ticks = 400
    canary, control = random.binomial(25, 0.1, (runs, ticks)), random.binomial(25, 0.1, (runs, ticks))
    each = np.full((runs, ticks), 25)
    found = cumulative.log_e_two_sample(canary, each, control, each, side="less", shift=0.03)
    hit = found >= log(20)
    median = 25 * np.median(np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, 10**6))
    said = noninferiority_planning.noninferiority_canary_trials(
        0.1, side="less", ratio=1.0, shift=0.03, canary_share=0.5
    )
    assert median == pytest.approx(said, rel=0.25)


@pytest.mark.parametrize("wrong", [{"control_rate": 0.0}, {"canary_share": 1.0}, {"alpha": 0.0}])
def test_what_cannot_be_is_refused(wrong):
    asked = {"control_rate": 0.1, "canary_share": 0.5, "alpha": 0.05, **wrong}
    with pytest.raises(ValueError):
        noninferiority_planning.noninferiority_canary_trials(
            asked["control_rate"],
            side="less",
            ratio=1.0,
            shift=0.02,
            canary_share=asked["canary_share"],
            alpha=asked["alpha"],
        )
