"""What may be reported, and what it feeds."""

import pytest

from core.metrics.catalogue import (
    CATALOGUE,
    DefaultRole,
    DesiredDirection,
    MarginScale,
    MetricKind,
    counts_as_request,
    parse_readings,
)
from core.metrics.typical_levels import TYPICAL


def test_the_catalogue_has_its_metrics():
    assert len(CATALOGUE) == 38
    assert all(metric.key == key for key, metric in CATALOGUE.items())


def test_each_has_a_typical_level_to_plan_by():
    assert set(TYPICAL) == set(CATALOGUE)


def test_nine_of_them_roll_back_by_default():
    assert {key for key, metric in CATALOGUE.items() if metric.role is DefaultRole.ROLLBACK} == {
        "eval_pass_rate",
        "critical_fail_rate",
        "complaint_rate",
        "cost_per_request",
        "latency_p95",
        "hard_error_rate",
        "refusal_rate",
        "moderation_flag_rate",
        "new_error_category",
    }


@pytest.mark.shows("E18")
@pytest.mark.parametrize(
    ("key", "kind", "good", "margin", "scale"),
    [
        ("eval_pass_rate", MetricKind.PROPORTION, DesiredDirection.UP, 0.02, MarginScale.POINTS),
        ("suggestion_ctr", MetricKind.SHARE, DesiredDirection.UP, 0.05, MarginScale.RELATIVE),
        ("conversation_turns", MetricKind.MEAN, DesiredDirection.UNCHANGED, 0.08, MarginScale.RELATIVE),
        ("complaint_rate", MetricKind.COUNT, DesiredDirection.DOWN, 0.5, MarginScale.RELATIVE),
        ("thumbs_up_rate", MetricKind.PROPORTION, DesiredDirection.UNKNOWN, None, MarginScale.POINTS),
        ("eval_score", MetricKind.MEAN, DesiredDirection.UP, 0.02, MarginScale.ABSOLUTE),
    ],
)
def test_rows_are_as_published(key, kind, good, margin, scale):
    metric = CATALOGUE[key]
    assert (metric.kind, metric.good, metric.default_margin, metric.margin_scale) == (kind, good, margin, scale)


def test_quantiles_know_theirs():
    assert {key: m.quantile for key, m in CATALOGUE.items() if m.quantile is not None} == {
        "latency_p50": 0.5,
        "latency_p95": 0.95,
        "ttft_p95": 0.95,
    }


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("latency_ms", 812, (("latency_p50", 812.0), ("latency_p95", 812.0))),
        ("ttft_ms", 90.5, (("ttft_p95", 90.5),)),
        ("refusal_rate", True, (("refusal_rate", 1.0),)),
        ("refusal_rate", 0, (("refusal_rate", 0.0),)),
        ("cost_per_request", 0.0121, (("cost_per_request", 0.0121),)),
        ("cache_hit_rate", 0.73, (("cache_hit_rate", 0.73),)),
        ("complaint_rate", 1, (("complaint_rate", 1.0),)),
    ],
)
def test_a_value_becomes_readings(key, value, expected):
    assert parse_readings(key, value) == expected


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("latency_p59", 1, 'unknown metric "latency_p59".'),
        ("zzz", 1, "unknown metric"),
        ("new_error_category", 1, "error_category"),
        ("cost_per_request", float("nan"), "finite"),
        ("cost_per_request", float("inf"), "finite"),
        ("cost_per_request", -0.01, "at least 0"),
        ("cost_per_request", True, "is a number"),
        ("cost_per_request", "0.01", "needs a number, not str"),
        ("refused_items", 1, "leave it out"),
        ("cost_per_request", 10**400, "too large"),
        ("refusal_rate", 0.5, "true/false or 0/1"),
        ("refusal_rate", 2, "true/false or 0/1"),
        ("tool_error_rate", 1.5, "between 0 and 1"),
    ],
)
def test_a_bad_value_is_refused_with_what_would_be_right(key, value, said):
    with pytest.raises(ValueError) as refused:
        parse_readings(key, value)
    assert said in str(refused.value)


def test_a_complaint_alone_is_no_request():
    assert counts_as_request({"refusal_rate": 0.0})
    assert counts_as_request({"complaint_rate": 0.0, "refusal_rate": 0.0})
    assert counts_as_request({})
    assert not counts_as_request({"complaint_rate": 1.0})


def test_one_reading_cannot_make_a_sum_infinite():
    with pytest.raises(ValueError, match="too large"):
        parse_readings("cost_per_request", 1e308)
    assert parse_readings("cost_per_request", 1e12) == (("cost_per_request", 1e12),)


def test_what_is_null_was_not_measured():
    assert parse_readings("cost_per_request", None) == parse_readings("latency_ms", None) == ()
    with pytest.raises(ValueError, match="unknown metric"):
        parse_readings("cost_per_requst", None)
