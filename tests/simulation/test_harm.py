"""A harm as people write it becomes what the new version does; limits are broken by twice their amount."""

import numpy as np
import pytest

from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.simulation.harm import SimulatedHarm, build_harms, parse_harm


@pytest.mark.parametrize(
    ("text", "shift", "ratio"),
    [
        ("refusal_rate=+6pp", 0.06, 1.0),
        ("eval_pass_rate=-4pp", -0.04, 1.0),
        ("refusal_rate=+50%", 0.0, 1.5),
        ("refusal_rate=8%", 0.06, 1.0),  # to 8 %, from a typical 2 %
        ("cost_per_request=+50%", 0.0, 1.5),
        ("output_tokens=2x", 0.0, 2.0),
        ("latency_p95=5400ms", 0.0, 2.0),  # from a typical 2,700 ms
        ("latency_p95=+2700ms", 0.0, 2.0),
        ("cost_per_request=$0.028", 0.0, 2.0),
        ("new_error_category=0.4%", 0.004, 1.0),
    ],
)
def test_a_change_as_it_is_written(known, text, shift, ratio):
    harm = parse_harm(text, known)
    assert (harm.metric, harm.shift, harm.ratio) == (
        text.partition("=")[0],
        pytest.approx(shift),
        pytest.approx(ratio),
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("refusal_rate", "is not a change"),
        ("refusals=+6pp", "no metric"),
        ("cost_per_request=+6pp", "no percentage points"),
        ("refusal_rate=lots", "not an amount"),
        ("cost_per_request=-150%", "more than 100 %"),
        ("refusal_rate=0.5", "is a share"),
    ],
)
def test_what_makes_no_sense_says_what_would(known, text, why):
    with pytest.raises(ValueError, match=why):
        parse_harm(text, known)


def test_each_rollback_limit_is_broken_by_twice_its_amount(known):
    def limit(metric, kind, amount, scale, role=LimitRole.ROLLBACK, **more):
        return Limit(metric=metric, kind=kind, amount=amount, scale=scale, role=role, **more)

    found = build_harms(
        (
            limit("eval_pass_rate", LimitKind.DROPS_BY, 0.02, LimitScale.POINTS),
            limit("cost_per_request", LimitKind.RISES_BY, 0.15, LimitScale.RELATIVE),
            limit("latency_p95", LimitKind.EXCEEDS, 2700, LimitScale.ABSOLUTE),
            limit("new_error_category", LimitKind.RATE_ABOVE, 0.002, LimitScale.ABSOLUTE),
            limit("retry_rate", LimitKind.RISES_BY, 0.01, LimitScale.POINTS, LimitRole.HOLD),
            limit("refusal_rate", LimitKind.RISES_BY, 0.01, LimitScale.POINTS, dry_run=True),
        ),
        known,
    )
    assert [(x.text, pytest.approx(x.shift), pytest.approx(x.ratio)) for x in found] == [
        ("eval_pass_rate -4 pp", -0.04, 1.0),
        ("cost_per_request +30 %", 0.0, 1.3),
        ("latency_p95 at 5400 ms", 0.0, 2.0),
        ("new_error_category 0.4 % of requests", 0.004, 1.0),
    ]


def test_rates_stay_rates():
    assert SimulatedHarm(metric="refusal_rate", text="", shift=0.5).apply_to_rates(
        np.array([0.2, 0.9])
    ) == pytest.approx([0.7, 1.0])
