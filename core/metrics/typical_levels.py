"""Typical levels of metrics, assumed for planning while nothing has been measured yet."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from core.metrics.catalogue import Metric


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLevel:
    """Level of a metric on the current version.

    `level` is the rate, mean or quantile in the metric's own unit (for a count, events per request). `spread` is the
    standard deviation of the logarithm of single values, 0 for rates. `share` is the share of requests that have a
    reading, 0 to 1. `design_effect` is the variance relative to independent requests, 1 if unknown.
    """

    level: float
    spread: float = 0.0
    share: float = 1.0
    design_effect: float = 1.0


JUDGED_SHARE = 0.25
"""Assumed share of answers that a judge scores: judging costs money."""

JUDGED_METRICS = frozenset({"eval_pass_rate", "critical_fail_rate", "eval_score", "groundedness_rate"})
"""Metrics whose readings come from a judge's scores of single answers: more judging gives more readings."""

TYPICAL: Mapping[str, MetricLevel] = MappingProxyType(
    {
        "eval_pass_rate": MetricLevel(level=0.92, share=JUDGED_SHARE),
        "critical_fail_rate": MetricLevel(level=0.004, share=JUDGED_SHARE),
        "eval_score": MetricLevel(level=0.8, spread=0.2, share=JUDGED_SHARE),
        "groundedness_rate": MetricLevel(level=0.9, share=JUDGED_SHARE),
        "suggestion_ctr": MetricLevel(level=0.3),
        "accept_rate": MetricLevel(level=0.25),
        "retry_rate": MetricLevel(level=0.08),
        "edit_distance": MetricLevel(level=0.25, spread=0.6),
        "conversation_turns": MetricLevel(level=4.0, spread=0.4),
        "abandonment_rate": MetricLevel(level=0.1),
        "escalation_rate": MetricLevel(level=0.06),
        "thumbs_down_rate": MetricLevel(level=0.015),
        "thumbs_up_rate": MetricLevel(level=0.04),
        "complaint_rate": MetricLevel(level=0.0008),
        "cost_per_request": MetricLevel(level=0.014, spread=0.8),
        "cost_per_conversation": MetricLevel(level=0.05, spread=0.9),
        "input_tokens": MetricLevel(level=1800.0, spread=0.6),
        "output_tokens": MetricLevel(level=400.0, spread=0.6),
        "llm_calls_per_request": MetricLevel(level=1.8, spread=0.4),
        "cache_hit_rate": MetricLevel(level=0.5),
        "latency_p50": MetricLevel(level=1200.0, spread=0.5),
        "latency_p95": MetricLevel(level=2700.0, spread=0.5),
        "ttft_p95": MetricLevel(level=1100.0, spread=0.5),
        "tool_time": MetricLevel(level=300.0, spread=0.8),
        "hard_error_rate": MetricLevel(level=0.004),
        "refusal_rate": MetricLevel(level=0.02),
        "fallback_rate": MetricLevel(level=0.01),
        "truncation_rate": MetricLevel(level=0.01),
        "tool_error_rate": MetricLevel(level=0.02),
        "schema_invalid_rate": MetricLevel(level=0.01),
        "moderation_flag_rate": MetricLevel(level=0.001),
        "abuse_signal_rate": MetricLevel(level=0.0005),
        "refused_items": MetricLevel(level=0.0005),
        "unplaced_items": MetricLevel(level=0.0005),
        "late_items": MetricLevel(level=0.001),
        "duplicate_items": MetricLevel(level=0.002),
        "unjudged_rate": MetricLevel(level=0.01),
        "new_error_category": MetricLevel(level=0.0),
    }
)


ASSUMED_RATE = 0.5
"""The rate at which a change is hardest to notice."""
ASSUMED_SPREAD = 0.8


def assume_level(metric: Metric) -> MetricLevel:
    """The typical level of a metric; of a team's own, what its definition says is usual.

    Where it does not say, a rate is assumed to be where changes are hardest to notice, and amounts to vary as costs do.
    """
    if (known := TYPICAL.get(metric.key)) is not None:
        return known
    if metric.is_binary:
        return MetricLevel(level=ASSUMED_RATE if metric.usual is None else metric.usual)
    return MetricLevel(level=metric.usual or 1.0, spread=ASSUMED_SPREAD)
