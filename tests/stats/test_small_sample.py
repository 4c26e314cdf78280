"""Evidence from a handful of answers: exact, against independent figures, and valid after every single answer."""

from math import exp, log

import numpy as np
import pytest
from scipy import integrate, stats

from core.stats.sequential import small_sample


@pytest.mark.parametrize(
    ("canary", "control"), [((5, 5), (0, 3)), ((4, 4), (0, 4)), ((7, 9), (1, 6)), ((2, 5), (2, 5)), ((1, 8), (3, 7))]
)
def test_it_is_the_integral_over_all_pairs_of_rates(canary: tuple[int, int], control: tuple[int, int]) -> None:
    def likelihood(control_rate: float, canary_rate: float) -> float:
        ones = canary_rate ** canary[0] * (1 - canary_rate) ** (canary[1] - canary[0])
        return float(ones * control_rate ** control[0] * (1 - control_rate) ** (control[1] - control[0]))

    mixed = 2 * integrate.dblquad(likelihood, 0, 1, 0, lambda rate: rate)[0]
    grid = np.linspace(0, 1, 1001)
    below = [likelihood(low, high) for high in grid for low in grid[grid >= high][::10]]
    pooled = (canary[0] + control[0]) / (canary[1] + control[1])
    best = max([*below, likelihood(pooled, pooled) if canary[0] * control[1] > control[0] * canary[1] else 0.0])
    assert exp(small_sample.log_e_more_often(*canary, *control)) == pytest.approx(mixed / best, rel=0.02)


def test_the_chance_that_one_rate_lies_above_another_is_that_of_the_beta_distributions() -> None:
    first, second = stats.beta(6, 3), stats.beta(2, 7)
    expected = integrate.quad(lambda rate: first.pdf(rate) * second.cdf(rate), 0, 1)[0]
    assert small_sample.compute_chance_above(6, 3, 2, 7) == pytest.approx(expected, rel=1e-9)


def test_nothing_to_compare_is_no_evidence() -> None:
    assert small_sample.log_e_more_often(5, 5, 0, 0) == 0.0
    assert small_sample.log_e_more_often(0, 0, 0, 4) == 0.0
    assert small_sample.log_e_more_often(2, 6, 3, 6) < 0


def test_what_cannot_have_happened_is_refused() -> None:
    with pytest.raises(ValueError, match="4 of 3"):
        small_sample.log_e_more_often(4, 3, 0, 3)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_counting_after_every_answer_rarely_raises_a_false_alarm(rate: float) -> None:
    chance = np.random.default_rng(20261130)
    alarms = 0
    for _ in range(1_000):
        counts = {True: [0, 0], False: [0, 0]}
        for is_canary, is_worse in zip(chance.random(40) < 0.5, chance.random(40) < rate, strict=True):
            counts[bool(is_canary)][0] += bool(is_worse)
            counts[bool(is_canary)][1] += 1
            if small_sample.log_e_more_often(*counts[True], *counts[False]) >= log(20):
                alarms += 1
                break
    assert alarms <= 67  # 1 chance in 100 if the level of 5 % were exact


def test_ten_answers_can_be_enough() -> None:
    assert small_sample.log_e_more_often(4, 4, 0, 4) >= log(20)
    assert small_sample.log_e_more_often(6, 6, 0, 4) >= log(20)
    assert small_sample.log_e_more_often(3, 4, 1, 4) < log(20)
