"""Limits on metrics that were agreed before the rollout, and their plain-text form."""

import re
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import assert_never

from core.durations import split_exact
from core.metrics.catalogue import CATALOGUE, HarmDirection, Metric, MetricKind
from core.metrics.money import dollars

NEW_CATEGORY_METRIC = "new_error_category"
"""Key of the metric that stands for all new error categories."""
CATEGORY_UNIT = "% of requests"
"""Unit of the rate of the most frequent new category."""


class LimitKind(StrEnum):
    """How a limit compares the canary: against control, or against a fixed number."""

    DROPS_BY = "drops_by"
    RISES_BY = "rises_by"
    CHANGES_BY = "changes_by"
    EXCEEDS = "exceeds"
    RATE_ABOVE = "rate_above"
    EXCEEDS_NORMAL_BY = "exceeds_normal_by"


class LimitScale(StrEnum):
    """Unit of a limit's amount: points of a proportion, relative to control, or the metric's own unit."""

    POINTS = "points"
    RELATIVE = "relative"
    ABSOLUTE = "absolute"


class LimitRole(StrEnum):
    """What happens when a limit is violated."""

    ROLLBACK = "rollback"
    HOLD = "hold"
    WATCH = "watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit on one metric. `lasting` is how long the estimate must stay beyond the limit before it counts.

    `amount` by `scale`: 2pp is 0.02 points, 15% is 0.15 relative, 4000ms is 4000 absolute, a rate of 0.2% is 0.002.
    `definition` is that of a metric of the surface's own; None for a built-in one.
    """

    metric: str
    kind: LimitKind
    amount: float
    scale: LimitScale
    role: LimitRole
    lasting: timedelta | None = None
    min_events: int | None = None
    strict: bool = False
    dry_run: bool = False
    definition: Metric | None = None

    @property
    def entry(self) -> Metric:
        """The metric that is limited: as it was defined when the plan was agreed, or the catalogue's."""
        return self.definition or CATALOGUE[self.metric]

    @property
    def is_absolute(self) -> bool:
        """Whether the canary is compared with a fixed number, so that no control is needed."""
        return self.kind is LimitKind.EXCEEDS or (self.kind is LimitKind.RATE_ABOVE and not self.is_per_category)

    @property
    def is_per_category(self) -> bool:
        """Whether the limit applies to every new error category separately."""
        return self.metric == NEW_CATEGORY_METRIC

    @property
    def harm_direction(self) -> HarmDirection:
        """The direction of the changes that it limits."""
        match self.kind:
            case LimitKind.DROPS_BY:
                return "less"
            case LimitKind.CHANGES_BY:
                return "either"
            case LimitKind.RISES_BY | LimitKind.EXCEEDS | LimitKind.RATE_ABOVE | LimitKind.EXCEEDS_NORMAL_BY:
                return "more"
            case _:
                assert_never(self.kind)

    @property
    def can_act(self) -> bool:
        """Whether it may hold the rollout or roll it back."""
        return not self.dry_run and self.role is not LimitRole.WATCH


_VERBS = {
    LimitKind.DROPS_BY: "drops by",
    LimitKind.RISES_BY: "rises by",
    LimitKind.CHANGES_BY: "changes by",
    LimitKind.EXCEEDS: "exceeds",
    LimitKind.RATE_ABOVE: "rate above",
    LimitKind.EXCEEDS_NORMAL_BY: "exceeds normal by",
}


def format_limit(limit: Limit) -> str:
    """The limit as plain text, such as `drops by 2 pp` or `exceeds 4000 ms for 15 min`."""
    parts = [_VERBS[limit.kind], _format_amount(limit)]
    if limit.lasting:
        parts.append(f"for {_format_lasting(limit.lasting)}")
    if limit.min_events:
        parts.append(f"with at least {limit.min_events} events")
    if limit.strict:
        parts.append("for certain")
    if limit.dry_run:
        parts.append("(dry run)")
    return " ".join(parts)


_PHRASES = {
    "drops by": "a drop of",
    "rises by": "a rise of",
    "changes by": "a change of",
    "exceeds normal by": "above normal by",
    "exceeds": "above",
    "rate above": "a rate above",
}


def phrase_limit(text: str) -> str:
    """The text of a limit as a thing in plain words, not a verb as in the file: `a drop of 5 pp` for `drops by 5 pp`,
    `above 4 s` for `exceeds 4000 ms`."""
    verb = next((verb for verb in _PHRASES if text.startswith(f"{verb} ")), None)
    phrase = text if verb is None else f"{_PHRASES[verb]}{text.removeprefix(verb)}"
    return write_numbers(phrase)


def write_numbers(text: str) -> str:
    """The text of a limit, which is recorded with plain numbers, with them as people read them: `exceeds 4 s`."""
    return re.sub(r"(?<![\d.])(\d{4,})( ms)?(?![\d.])", _shorten_number, text)


def _shorten_number(found: re.Match[str]) -> str:
    number = int(found[1])
    return f"{number / 1000:g} s" if found[2] else f"{number:,}"


def format_rounded(limit: Limit, size: float) -> str:
    """A size in the limit's scale, rounded to two or three digits: `2.4 pp`, `15 %`, `5 s`."""
    metric = limit.entry
    if limit.scale is LimitScale.RELATIVE:
        return f"{size * 100:,.3g} %" if size < 10 else f"{size * 100:,.0f} %"
    if limit.scale is LimitScale.POINTS:
        return f"{size * 100:.2g} pp"
    if metric.is_binary or limit.is_per_category:
        return f"{size * 100:.2g} %"
    if metric.kind is MetricKind.COUNT:
        return f"{size * 1000:.3g} {metric.unit}"
    if metric.unit == "US$":
        return dollars(size)
    if metric.unit == "ms" and size >= 999.5:
        return f"{size / 1000:.3g} s"
    return f"{size:,.0f} {metric.unit}" if size >= 100 else f"{size:.3g} {metric.unit}"


def _format_amount(limit: Limit) -> str:
    metric = limit.entry
    if limit.scale is LimitScale.POINTS:
        return f"{limit.amount * 100:g} pp"
    if limit.scale is LimitScale.RELATIVE or limit.kind is LimitKind.RATE_ABOVE or metric.is_binary:
        return f"{limit.amount * 100:g} %"
    if metric.unit == "US$":
        return f"${limit.amount:g}"
    if metric.kind is MetricKind.COUNT:
        return f"{limit.amount * 1000:g} {metric.unit}"
    return f"{limit.amount:g}" if metric.unit[0].isdigit() else f"{limit.amount:g} {metric.unit}"


def _format_lasting(span: timedelta) -> str:
    number, unit = split_exact(span)
    return f"{float(number):g} {unit}"
