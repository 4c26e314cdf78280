"""How limits read, and what they ask of intake."""

from datetime import timedelta

import pytest

from core.judging.limits.hypothesis import build_harm_hypotheses, is_beyond_limit
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale, format_limit
from core.judging.model.evidence import exceedance_cell, exceedance_thresholds

P, R, A = LimitScale.POINTS, LimitScale.RELATIVE, LimitScale.ABSOLUTE


def limit(metric, kind, amount, scale, **more):
    return Limit(metric=metric, kind=kind, amount=amount, scale=scale, role=LimitRole.ROLLBACK, **more)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (limit("eval_pass_rate", LimitKind.DROPS_BY, 0.02, P), "drops by 2 pp"),
        (limit("critical_fail_rate", LimitKind.RISES_BY, 0.002, P), "rises by 0.2 pp"),
        (limit("cost_per_request", LimitKind.RISES_BY, 0.15, R), "rises by 15 %"),
        (limit("conversation_turns", LimitKind.CHANGES_BY, 0.08, R), "changes by 8 %"),
        (
            limit("latency_p95", LimitKind.EXCEEDS, 4000, A, lasting=timedelta(minutes=15)),
            "exceeds 4000 ms for 15 min",
        ),
        (limit("latency_p95", LimitKind.EXCEEDS, 4000, A, lasting=timedelta(seconds=90)), "exceeds 4000 ms for 90 s"),
        (limit("cost_per_request", LimitKind.EXCEEDS, 0.02, A), "exceeds $0.02"),
        (limit("hard_error_rate", LimitKind.EXCEEDS, 0.05, A), "exceeds 5 %"),
        (limit("complaint_rate", LimitKind.EXCEEDS, 0.002, A), "exceeds 2 per 1,000 requests"),
        (limit("eval_score", LimitKind.DROPS_BY, 0.02, A), "drops by 0.02"),
        (
            limit("new_error_category", LimitKind.RATE_ABOVE, 0.002, A, min_events=5),
            "rate above 0.2 % with at least 5 events",
        ),
        (limit("complaint_rate", LimitKind.EXCEEDS_NORMAL_BY, 0.5, R), "exceeds normal by 50 %"),
        (limit("refusal_rate", LimitKind.RISES_BY, 0.07, P, strict=True), "rises by 7 pp for certain"),
        (limit("refusal_rate", LimitKind.RISES_BY, 0.01, P, dry_run=True), "rises by 1 pp (dry run)"),
    ],
)
def test_wording(asked, text):
    assert format_limit(asked) == text


def test_intake_keeps_a_counter_for_each_absolute_quantile_limit():
    asked = (
        limit("latency_p95", LimitKind.EXCEEDS, 4000, A),
        limit("latency_p95", LimitKind.EXCEEDS, 2500.5, A),
        limit("latency_p95", LimitKind.RISES_BY, 0.15, R),
        limit("cost_per_request", LimitKind.EXCEEDS, 0.02, A),
    )
    assert exceedance_thresholds(asked) == {"latency_p95": (2500.5, 4000)}
    assert exceedance_cell("latency_p95", 4000) == "latency_p95>4000"


def test_a_limit_becomes_hypotheses():
    (harm,) = build_harm_hypotheses(limit("refusal_rate", LimitKind.RISES_BY, 0.01, P))
    assert (harm.side, harm.ratio, harm.shift, harm.bound_shift) == ("greater", 1.0, 0.0, 0.01)
    (strict,) = build_harm_hypotheses(limit("cost_per_request", LimitKind.DROPS_BY, 0.15, R, strict=True))
    assert (strict.side, strict.ratio, strict.shift) == ("less", 0.85, 0.0)
    both = build_harm_hypotheses(limit("escalation_rate", LimitKind.CHANGES_BY, 0.015, P, strict=True))
    assert [(h.side, h.shift, h.share) for h in both] == [("greater", 0.015, 0.5), ("less", -0.015, 0.5)]


@pytest.mark.parametrize(
    ("asked", "side", "canary", "control", "beyond"),
    [
        (limit("refusal_rate", LimitKind.RISES_BY, 0.01, P), "greater", 0.035, 0.02, True),
        (limit("refusal_rate", LimitKind.RISES_BY, 0.01, P), "greater", 0.025, 0.02, False),
        (limit("suggestion_ctr", LimitKind.DROPS_BY, 0.05, R), "less", 0.28, 0.30, True),
        (limit("suggestion_ctr", LimitKind.DROPS_BY, 0.05, R), "less", 0.29, 0.30, False),
        (limit("complaint_rate", LimitKind.EXCEEDS_NORMAL_BY, 0.5, R), "greater", 0.001, 0.0, True),
        (limit("complaint_rate", LimitKind.EXCEEDS_NORMAL_BY, 0.5, R), "greater", 0.0, 0.0, False),
        (limit("refusal_rate", LimitKind.RISES_BY, 0.01, P), "greater", None, 0.02, False),
    ],
)
def test_an_estimate_beyond_the_limit(asked, side, canary, control, beyond):
    assert is_beyond_limit(asked, side, canary, control) is beyond
