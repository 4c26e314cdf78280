"""What a metric is, the catalogue of built-in ones, and how reported values become readings."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from types import MappingProxyType
from typing import Literal, TypeAlias, assert_never


class MetricKind(StrEnum):
    """How a metric's values are aggregated."""

    PROPORTION = "proportion"  # 0 or 1 per request
    SHARE = "share"  # between 0 and 1 per request
    RATIO = "ratio"  # the sum of all numerators over the sum of all denominators
    MEAN = "mean"
    QUANTILE = "quantile"
    COUNT = "count"  # events over all requests


AVERAGES = frozenset({MetricKind.MEAN, MetricKind.RATIO})
"""Kinds that are judged by the normal approximation of an average over units."""


class DesiredDirection(StrEnum):
    """The direction in which a metric should change. UNCHANGED: any change is harm. UNKNOWN: no change is good or
    bad."""

    UP = "up"
    DOWN = "down"
    UNCHANGED = "unchanged"
    UNKNOWN = "unknown"


class MarginScale(StrEnum):
    """Unit of a default margin."""

    POINTS = "points"  # of a proportion: 0.02 is 2 percentage points
    RELATIVE = "relative"  # to control: 0.15 is 15 %
    ABSOLUTE = "absolute"  # the metric's own unit


class DefaultRole(StrEnum):
    """What a metric may do if the rollout file does not say."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    WATCH = "watch"


SIGNALS = (
    "suggestion_ctr",
    "accept_rate",
    "retry_rate",
    "edit_distance",
    "conversation_turns",
    "abandonment_rate",
    "escalation_rate",
    "thumbs_down_rate",
    "thumbs_up_rate",
)
"""Metrics of what people do with an answer, in the order in which a review shows them."""

HarmDirection: TypeAlias = Literal["more", "less", "either"]
"""The direction in which a metric's change is harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric: a built-in one, or a team's own.

    `default_margin` is positive, in units of `margin_scale`; None for none. Own metrics also say which quantile they
    are (`probability`, such as 0.95), the level that is normal for them (`usual`) and the value at which a mean's
    readings are capped (`cap`), both in their own unit, and whether they show what people do (`signal`).
    """

    key: str
    title: str
    kind: MetricKind
    good: DesiredDirection
    unit: str
    default_margin: float | None
    margin_scale: MarginScale
    role: DefaultRole
    probability: float | None = None
    usual: float | None = None
    cap: float | None = None
    signal: bool = False

    @property
    def quantile(self) -> float | None:
        """The probability of the quantile that this metric is, such as 0.95; None for other kinds."""
        if self.kind is not MetricKind.QUANTILE:
            return None
        return self.probability if self.probability is not None else int(self.key.rsplit("_p", 1)[1]) / 100

    def require_quantile(self) -> float:
        """The quantile of a metric that is one; ValueError for other kinds."""
        if (probability := self.quantile) is None:
            raise ValueError(f"{self.key} is not a quantile")
        return probability

    @property
    def is_signal(self) -> bool:
        """Whether it shows what people do: a shift has many causes, so by default it holds and never rolls back."""
        return self.signal or self.key in SIGNALS

    @property
    def is_binary(self) -> bool:
        """Whether the exact kernel applies: every reading lies between 0 and 1 and counts one trial."""
        return self.kind in (MetricKind.PROPORTION, MetricKind.SHARE)

    @property
    def is_average(self) -> bool:
        """Whether it is judged by the normal approximation of an average over units: a mean, or a ratio of sums."""
        return self.kind in AVERAGES

    @property
    def harm_direction(self) -> HarmDirection:
        """The direction against the desired one; either where no change is wanted."""
        match self.good:
            case DesiredDirection.UP:
                return "less"
            case DesiredDirection.DOWN:
                return "more"
            case DesiredDirection.UNCHANGED | DesiredDirection.UNKNOWN:
                return "either"
            case _:
                assert_never(self.good)

    @property
    def has_amounts(self) -> bool:
        """Whether single readings are amounts, not 0/1 outcomes or events."""
        return self.is_average or self.kind is MetricKind.QUANTILE


_P, _S, _M, _Q, _C = MetricKind.PROPORTION, MetricKind.SHARE, MetricKind.MEAN, MetricKind.QUANTILE, MetricKind.COUNT
_UP, _DOWN, _SAME, _NONE = (
    DesiredDirection.UP,
    DesiredDirection.DOWN,
    DesiredDirection.UNCHANGED,
    DesiredDirection.UNKNOWN,
)
_PP, _REL, _ABS = MarginScale.POINTS, MarginScale.RELATIVE, MarginScale.ABSOLUTE
_RB, _H, _W = DefaultRole.ROLLBACK, DefaultRole.HOLD, DefaultRole.WATCH

_ROWS: tuple[tuple[str, str, MetricKind, DesiredDirection, str, float | None, MarginScale, DefaultRole], ...] = (
    ("eval_pass_rate", "Answers that pass our checks", _P, _UP, "%", 0.02, _PP, _RB),
    ("critical_fail_rate", "Serious failures", _P, _DOWN, "%", 0.002, _PP, _RB),
    ("eval_score", "Average quality score", _M, _UP, "0–1", 0.02, _ABS, _W),
    ("groundedness_rate", "Answers backed by sources", _P, _UP, "%", 0.02, _PP, _W),
    ("suggestion_ctr", "Suggestions clicked", _S, _UP, "%", 0.05, _REL, _H),
    ("accept_rate", "Suggestions used (copied, inserted)", _S, _UP, "%", 0.05, _REL, _H),
    ("retry_rate", "People asking again", _S, _DOWN, "%", 0.01, _PP, _H),
    ("edit_distance", "How much people rewrite the answer", _M, _DOWN, "0–1", 0.03, _ABS, _W),
    ("conversation_turns", "Messages per conversation", _M, _SAME, "turns", 0.08, _REL, _H),
    ("abandonment_rate", "Conversations given up", _P, _DOWN, "%", 0.01, _PP, _H),
    ("escalation_rate", "Handed to a person", _P, _SAME, "%", 0.015, _PP, _H),
    ("thumbs_down_rate", "Thumbs down", _P, _DOWN, "% of answers", 0.003, _PP, _H),
    ("thumbs_up_rate", "Thumbs up", _P, _NONE, "%", None, _PP, _W),
    ("complaint_rate", "Complaints (support)", _C, _DOWN, "per 1,000 requests", 0.5, _REL, _RB),
    ("cost_per_request", "Cost per request", _M, _DOWN, "US$", 0.15, _REL, _RB),
    ("cost_per_conversation", "Cost per conversation", _M, _DOWN, "US$", 0.15, _REL, _H),
    ("input_tokens", "Text sent to the model", _M, _SAME, "tokens", 0.2, _REL, _W),
    ("output_tokens", "Answer length", _M, _SAME, "tokens", 0.2, _REL, _W),
    ("llm_calls_per_request", "Model calls per request", _M, _DOWN, "calls", 0.1, _REL, _H),
    ("cache_hit_rate", "Prompt cache use", _S, _UP, "% of tokens", 0.05, _PP, _W),
    ("latency_p50", "Typical response time", _Q, _DOWN, "ms", 0.1, _REL, _H),
    ("latency_p95", "Slow responses (slowest 5 %)", _Q, _DOWN, "ms", 0.15, _REL, _RB),
    ("ttft_p95", "Wait until the first word", _Q, _DOWN, "ms", 0.15, _REL, _W),
    ("tool_time", "Time in tools", _M, _DOWN, "ms", None, _REL, _W),
    ("hard_error_rate", "Failed requests", _P, _DOWN, "%", 0.005, _PP, _RB),
    ("refusal_rate", "Declined to answer", _P, _SAME, "%", 0.01, _PP, _RB),
    ("fallback_rate", "Fell back to a backup answer", _P, _DOWN, "%", 0.005, _PP, _H),
    ("truncation_rate", "Answers cut off", _P, _DOWN, "%", 0.005, _PP, _H),
    ("tool_error_rate", "Tool calls that failed", _S, _DOWN, "% of calls", 0.01, _PP, _H),
    ("schema_invalid_rate", "Wrong format", _P, _DOWN, "%", 0.005, _PP, _H),
    ("moderation_flag_rate", "Flagged as unsafe", _P, _SAME, "%", 0.001, _PP, _RB),
    ("abuse_signal_rate", "Signs of misuse", _P, _SAME, "%", 0.001, _PP, _H),
    ("new_error_category", "New kinds of errors", _C, _DOWN, "categories", 0.002, _ABS, _RB),
    ("refused_items", "Reports refused, in whole or in part", _C, _SAME, "per 1,000 requests", 0.01, _PP, _H),
    ("unplaced_items", "Reports that fit no version", _C, _SAME, "per 1,000 requests", 0.01, _PP, _H),
    ("late_items", "Reports that came too late", _C, _SAME, "per 1,000 requests", 0.01, _PP, _H),
    ("duplicate_items", "Reports sent twice", _C, _SAME, "per 1,000 requests", 0.01, _PP, _H),
    ("unjudged_rate", "Answers without a verdict", _P, _SAME, "%", 0.02, _PP, _H),
)

CATALOGUE: Mapping[str, Metric] = MappingProxyType(
    {
        key: Metric(
            key=key,
            title=title,
            kind=kind,
            good=good,
            unit=unit,
            default_margin=margin,
            margin_scale=scale,
            role=role,
        )
        for key, title, kind, good, unit, margin, scale, role in _ROWS
    }
)

FEEDS: Mapping[str, tuple[str, ...]] = {
    "latency_ms": ("latency_p50", "latency_p95"),
    "ttft_ms": ("ttft_p95",),
}
"""Additional keys of an observation, and the metrics that they feed."""

USER_VOTE = "user_vote"
"""Key of an observation under which a user said how an answer was."""
USER_VOTES: Mapping[str, Mapping[str, float]] = {
    "good": {"thumbs_down_rate": 0.0, "thumbs_up_rate": 1.0},
    "worse": {"thumbs_down_rate": 1.0, "thumbs_up_rate": 0.0},
    "cant_tell": {"thumbs_down_rate": 0.0, "thumbs_up_rate": 0.0},
}
"""What a user may say, and the readings that follow."""

UNJUDGED = "unjudged_rate"
"""The metric of how often a judge that was asked about an answer gave no verdict."""

UNCOUNTED = ("refused_items", "unplaced_items", "late_items")
"""Reports that came and count nowhere, or not as a whole."""
COUNTED_AT_INTAKE = frozenset({*UNCOUNTED, "duplicate_items", UNJUDGED})
"""Metrics of data quality, counted at intake, not reported. Arms that differ in them cannot be compared."""

ERROR_CATEGORIES = "new_error_category"
"""The metric of kinds of errors, each counted by its name."""

COUNTED_ELSEWHERE = frozenset({ERROR_CATEGORIES}) | COUNTED_AT_INTAKE
"""Metrics that observations do not carry under their own key."""


_FED_METRICS: Mapping[str, tuple[Metric, ...]] = {
    **{key: (metric,) for key, metric in CATALOGUE.items() if key not in COUNTED_ELSEWHERE},
    **{key: tuple(CATALOGUE[metric] for metric in metrics) for key, metrics in FEEDS.items()},
}
"""The metrics of which a reported number is a reading, by its key."""
_ANY_AMOUNT = frozenset(MetricKind) - {MetricKind.PROPORTION, MetricKind.SHARE}
_AMOUNTS = AVERAGES | {MetricKind.QUANTILE}  # as `Metric.has_amounts`
_NUMBERS = frozenset({float, int})

MAX_READING = 1e12  # largest reading allowed, so that sums and sums of squares stay finite


class UnknownMetric(ValueError):
    """A metric key that is not in the catalogue."""

    def __init__(self, key: str) -> None:
        super().__init__(f'unknown metric "{key}".')
        self.key = key


DENOMINATOR = "/denominator"


def denominator_key(metric: str) -> str:
    """Under which name the denominators of a ratio are counted; the metric's own name counts its numerators."""
    return f"{metric}{DENOMINATOR}"


def parse_readings(
    key: str, value: object, own: Mapping[str, Metric] = MappingProxyType({})
) -> tuple[tuple[str, float], ...]:
    """Parse a reported value into (metric key, reading) for each metric that the key feeds.

    `own` are the metrics that the surface defines itself, by name. None means not measured and gives no reading. A
    ratio is an object with its numerator and denominator, and gives two readings. Raises ValueError (`UnknownMetric`
    for an unknown key).
    """
    if own and (defined := own.get(key)) is not None:
        return () if value is None else _parse_own(defined, value)
    fed = _FED_METRICS.get(key)
    if fed is None:
        return _parse_unlike(key, value)
    if value is None:
        return ()
    if len(fed) == 1:
        return ((fed[0].key, _parse_reading(key, fed[0], value)),)
    return tuple([(metric.key, _parse_reading(key, metric, value)) for metric in fed])


def _parse_unlike(key: str, value: object) -> tuple[tuple[str, float], ...]:
    """The readings of what a user says; raises ValueError for anything that nobody reports."""
    if key in COUNTED_AT_INTAKE:
        raise ValueError(f'"{key}" is counted as observations arrive: leave it out')
    if key in COUNTED_ELSEWHERE:
        raise ValueError(f'"{key}" is counted by the bot: send the kind of error as "error_category" beside "metrics"')
    if key != USER_VOTE:
        raise UnknownMetric(key)
    return () if value is None else _parse_user_vote(value)


def counts_as_request(metrics: Mapping[str, float]) -> bool:
    """Whether an observation with these readings is a request. One that only reports events, such as a complaint, is
    not."""
    return not metrics or any(key not in CATALOGUE or CATALOGUE[key].kind is not MetricKind.COUNT for key in metrics)


def _parse_own(metric: Metric, value: object) -> tuple[tuple[str, float], ...]:
    if metric.kind is not MetricKind.RATIO:
        return ((metric.key, _parse_reading(metric.key, metric, value)),)
    if not isinstance(value, dict) or value.keys() != {"numerator", "denominator"}:
        raise ValueError(f'"{metric.key}" is a ratio: send {{"numerator": 3, "denominator": 4}}')
    top, bottom = (_parse_reading(metric.key, metric, value[part]) for part in ("numerator", "denominator"))
    if top > 0 and bottom == 0:
        raise ValueError(f'"{metric.key}" has a numerator of {top:g} over a denominator of 0')
    return ((metric.key, top), (denominator_key(metric.key), bottom)) if bottom else ()


def _parse_user_vote(value: object) -> tuple[tuple[str, float], ...]:
    if not isinstance(value, str) or value not in USER_VOTES:
        raise ValueError(f'"{USER_VOTE}" is one of {", ".join(USER_VOTES)}')
    return tuple(USER_VOTES[value].items())


def _parse_reading(key: str, metric: Metric, value: object) -> float:
    if type(value) in _NUMBERS and 0 <= value <= MAX_READING and metric.kind in _ANY_AMOUNT:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    if isinstance(value, bool):
        if metric.kind in _AMOUNTS:
            raise ValueError(f'"{key}" is a number ({metric.unit}), not {str(value).lower()}')
        return float(value)
    if not isinstance(value, int | float):
        raise ValueError(f'"{key}" needs a number, not {type(value).__name__}')  # noqa: TRY004 - a bad value, whatever its type
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f'"{key}" is too large') from None
    if not isfinite(number):
        raise ValueError(f'"{key}" must be a finite number, not {number}')
    if number > MAX_READING:
        raise ValueError(f'"{key}" is too large: {number:g} {metric.unit} is not plausible for one request')
    if number < 0:
        raise ValueError(f'"{key}" must be at least 0, not {number:g}')
    if metric.kind is MetricKind.PROPORTION and number not in (0.0, 1.0):
        raise ValueError(f'"{key}" is true/false or 0/1 for each request, not {number:g}')
    if metric.kind is MetricKind.SHARE and number > 1:
        raise ValueError(f'"{key}" lies between 0 and 1 for each request, not {number:g}')
    return number
