"""What a measure could have shown by now: never a number where it cannot be known."""

from dataclasses import replace
from datetime import timedelta
from math import log
from statistics import NormalDist

import pytest

from core.judging.model.verdict import Measure
from core.judging.report.power import Power, estimate_power, harm_direction
from core.metrics.catalogue import CATALOGUE
from core.stats import planning

RATE = Measure(
    metric="eval_pass_rate",
    title="Answers that pass our checks",
    limit_text="drops by 2 pp",
    canary=0.932,
    control=0.924,
    difference=0.008,
    low=-0.004,
    high=0.021,
    log_e=0.0,
    word="Fine",
    n_canary=2000,
    n_control=38_000,
    unit="%",
    relative=False,
    weaker=False,
    role="rollback",
    harm="less",
    amount=0.02,
    design_effect=2.0,
    needed=log(160),
)
COST = replace(
    RATE,
    metric="cost_per_request",
    canary=0.0121,
    control=0.0139,
    difference=-0.129,
    low=-0.144,
    high=-0.113,
    unit="US$",
    relative=True,
    harm="more",
    amount=0.15,
    error=0.0002,
    design_effect=1.0,
)
HOUR = timedelta(hours=1)


def seen(measure: Measure, **changes: object) -> Power:
    given = {"canary_share": 0.05, "elapsed": 6 * HOUR, **changes}
    return estimate_power(measure, CATALOGUE.get(measure.metric), **given)  # type: ignore[arg-type]


@pytest.mark.shows("E33")
def test_a_rate_is_planned_with_what_its_requests_are_worth_and_with_its_own_bar() -> None:
    found = seen(RATE)
    expected = planning.smallest_noticeable(0.924, 1000, canary_share=0.05, side="less", alpha=1 / 160)
    assert found.noticeable == pytest.approx(float(expected))
    assert found.could_still_be == -0.004


def test_a_change_as_large_as_the_limit_is_decided_after_the_rest_of_the_requests() -> None:
    trials = float(planning.canary_trials(0.924, 0.904, canary_share=0.05, alpha=1 / 160))
    waiting = seen(RATE).decided_in
    assert waiting is not None
    assert waiting / (6 * HOUR) == pytest.approx((2 * trials - 2000) / 2000)
    assert seen(replace(RATE, n_canary=200_000, n_control=3_800_000)).decided_in == timedelta(0)


def test_what_is_noticeable_and_what_is_decided_agree() -> None:
    enough = replace(RATE, n_canary=50_000, n_control=950_000)
    found = seen(enough)
    assert found.noticeable is not None
    assert found.noticeable < 0.02
    assert found.decided_in == timedelta(0)


def test_a_relative_rate_is_said_relative() -> None:
    points = seen(RATE).noticeable
    relative = seen(replace(RATE, relative=True, amount=0.02 / 0.924)).noticeable
    assert points is not None
    assert relative == pytest.approx(points / 0.924)


def test_where_either_way_is_harm_the_harder_one_counts() -> None:
    ways = [seen(replace(RATE, harm=way)).noticeable for way in ("more", "less", "either")]
    assert ways[2] == max(x for x in ways if x is not None)
    assert seen(replace(RATE, harm="either")).could_still_be == 0.021


def test_a_mean_is_planned_from_its_error() -> None:
    found = seen(COST)
    own = planning.smallest_noticeable_mean(0.0002, tau=2 * 0.15 * 0.0139, alpha=1 / 160)
    assert found.noticeable == pytest.approx(float(own) / 0.0139)
    assert found.could_still_be == -0.113
    assert found.decided_in == timedelta(0)
    noisy = seen(replace(COST, error=0.002))
    assert noisy.decided_in is not None
    assert noisy.decided_in > timedelta(0)
    # Errors shrink with the root of the requests: half the error is a quarter of the way.
    half, whole = (seen(replace(COST, error=e)).decided_in for e in (0.002, 0.004))
    assert half is not None
    assert whole is not None
    assert (whole + 6 * HOUR) / (half + 6 * HOUR) == pytest.approx(4)


def test_a_fixed_rate_says_how_far_beyond_it_would_be_noticed() -> None:
    fixed = replace(
        RATE, metric="hard_error_rate", absolute=True, amount=0.02, harm="more", canary=0.004, control=0.004
    )
    found = seen(fixed)
    assert found.noticeable == pytest.approx(
        float(planning.smallest_noticeable_against(0.02, 1000, side="greater", alpha=1 / 160))
    )
    assert found.decided_in is None


def test_a_control_that_never_failed_is_not_certain() -> None:
    found = seen(replace(RATE, metric="hard_error_rate", harm="more", control=0.0, canary=0.0, amount=0.005))
    assert found.noticeable is not None
    assert found.noticeable > 0


@pytest.mark.parametrize(
    "unknown",
    [
        replace(RATE, metric="latency_p95", unit="ms"),  # as engines before 6 recorded it: no spread
        replace(RATE, weaker=True),  # no control is left
        replace(RATE, control=None),
        replace(RATE, n_control=0),
        replace(RATE, n_canary=0),
        replace(COST, error=None),
        replace(COST, n_canary=29),
        replace(RATE, metric="somebody_elses_metric"),
    ],
)
def test_what_cannot_be_said_is_not_a_number(unknown: Measure) -> None:
    found = seen(unknown)
    assert (found.noticeable, found.decided_in) == (None, None)


SLOW = replace(
    RATE,
    metric="latency_p95",
    canary=2100.0,
    control=2000.0,
    difference=0.05,
    unit="ms",
    relative=True,
    harm="more",
    amount=0.15,
    spread=0.5,
)


def test_a_quantile_is_planned_by_the_values_above_it() -> None:
    # Of a log-normal law with that spread, so many lie above the old quantile once the new one is 15 % higher.
    harmed = 1 - NormalDist().cdf(NormalDist().inv_cdf(0.95) - log(1.15) / 0.5)
    trials = 2 * float(planning.canary_trials(0.05, harmed, canary_share=0.05, alpha=1 / 160))
    waiting = seen(replace(SLOW, n_canary=500, n_control=9500))
    assert waiting.decided_in is not None
    assert waiting.decided_in / (6 * HOUR) == pytest.approx((trials - 500) / 500)
    just = seen(replace(SLOW, n_canary=round(trials), n_control=19 * round(trials)))
    assert just.noticeable == pytest.approx(0.15, rel=0.01)


def test_the_wider_values_spread_the_larger_a_move_has_to_be() -> None:
    narrow, wide = (seen(replace(SLOW, spread=spread)).noticeable for spread in (0.4, 0.8))
    assert narrow is not None
    assert wide is not None
    assert log(1 + wide) / log(1 + narrow) == pytest.approx(2)


def test_a_fixed_quantile_says_how_far_beyond_it_would_be_noticed() -> None:
    fixed = seen(replace(SLOW, absolute=True, relative=False, amount=4000.0, canary=2100.0))
    more = seen(replace(SLOW, absolute=True, relative=False, amount=4000.0, n_canary=20_000))
    assert fixed.decided_in is None
    assert fixed.noticeable is not None
    assert more.noticeable is not None
    assert 0 < more.noticeable < fixed.noticeable < 4000


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_one_arm_alone_notices_nothing(share: float) -> None:
    assert seen(RATE, canary_share=share).noticeable is None


def test_without_a_limit_nothing_is_decided() -> None:
    found = seen(replace(RATE, amount=None, limit_text=None, needed=0.0))
    assert found.noticeable is not None
    assert found.decided_in is None


def test_a_row_recorded_before_rows_had_a_role_is_harmed_as_its_metric_says() -> None:
    old = replace(RATE, role="", harm="more")
    assert harm_direction(old) == "less"
    assert seen(old).noticeable == seen(RATE).noticeable
    assert harm_direction(replace(RATE, harm="either")) == "either"
