"""A limit as written, `{metric: eval_pass_rate, drops_by: 2pp}`, and whether its unit suits its metric."""

from typing import Annotated, Literal, assert_never

from pydantic import Field, PrivateAttr, ValidationInfo, model_validator

from core import durations
from core.files.syntax.amounts import Amount, Unit, explain_bare_rate, format_amount
from core.files.syntax.fields import Duration, MetricKey, StrictModel, WrittenAmount, field_error, known_metrics
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.metrics.catalogue import CATALOGUE, Metric, MetricKind

_KINDS = tuple(kind.value for kind in LimitKind)


class LimitTerms(StrictModel):
    """Exactly one of the six kinds, with an amount that suits the metric."""

    metric: MetricKey
    drops_by: WrittenAmount | None = None
    rises_by: WrittenAmount | None = None
    changes_by: WrittenAmount | None = None
    exceeds: WrittenAmount | None = None
    rate_above: WrittenAmount | None = None
    exceeds_normal_by: WrittenAmount | None = None
    lasting: Duration | None = Field(default=None, alias="for")
    min_events: Annotated[int, Field(ge=1, le=10**9)] | None = None
    confidence: Literal["any_harm", "strict"] = "any_harm"
    mode: Literal["act", "dry_run"] = "act"

    _own: Metric | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check_terms(self, info: ValidationInfo) -> "LimitTerms":
        self._own = known_metrics(info).own.get(self.metric)
        given = [kind for kind in _KINDS if getattr(self, kind) is not None]
        if not given:
            raise field_error("metric", f"a limit needs one of {', '.join(_KINDS)}")
        if len(given) > 1:
            raise field_error(
                given[1], f'one limit, one kind: this has {given[0]} already; write "{given[1]}" as its own limit'
            )
        try:
            self._scaled_amount()
        except ValueError as error:
            raise field_error(given[0], str(error)) from error
        if self.min_events is not None and self.kind is not LimitKind.RATE_ABOVE:
            raise field_error("min_events", "min_events goes with rate_above only")
        return self

    @property
    def entry(self) -> Metric:
        """The metric that is limited."""
        return self._own or CATALOGUE[self.metric]

    @property
    def kind(self) -> LimitKind:
        """The kind that was written."""
        return next(kind for kind in LimitKind if getattr(self, kind.value) is not None)

    def to_limit(self, role: LimitRole) -> Limit:
        """The limit as it is in the plan; `role` follows from the list that it is written in."""
        amount, scale = self._scaled_amount()
        return Limit(
            metric=self.metric,
            kind=self.kind,
            amount=amount,
            scale=scale,
            role=role,
            lasting=self.lasting or None,
            min_events=self.min_events,
            strict=self.confidence == "strict",
            dry_run=self.mode == "dry_run",
            definition=self._own,
        )

    def _scaled_amount(self) -> tuple[float, LimitScale]:
        kind = self.kind
        return scale_amount(self.entry, kind, getattr(self, kind.value))


def scale_amount(metric: Metric, kind: LimitKind, amount: Amount) -> tuple[float, LimitScale]:
    """The amount in the scale that kind and metric require. Raises ValueError that says what to write."""
    if amount.value < 0 or (amount.value == 0 and kind is not LimitKind.EXCEEDS):
        raise ValueError(f"{format_amount(amount)} must be above zero; the kind of limit gives the direction")
    if (metric.key == "new_error_category") != (kind is LimitKind.RATE_ABOVE):
        if kind is LimitKind.RATE_ABOVE:
            raise ValueError(f'rate_above is for new_error_category; for "{metric.key}" write exceeds')
        raise ValueError(f"new_error_category has no {kind.value}: write rate_above: 0.2%")
    match kind:
        case LimitKind.EXCEEDS:
            return scale_level(metric, amount), LimitScale.ABSOLUTE
        case LimitKind.RATE_ABOVE:
            return _scale_fraction(amount, "0.2%"), LimitScale.ABSOLUTE
        case LimitKind.EXCEEDS_NORMAL_BY:
            return _scale_relative(amount, kind), LimitScale.RELATIVE
        case LimitKind.DROPS_BY | LimitKind.RISES_BY | LimitKind.CHANGES_BY:
            return _scale_change(metric, kind, amount)
        case _:
            assert_never(kind)


def format_limit(limit: Limit) -> dict[str, str | int]:
    """The terms that parse back to exactly this limit, without its role."""
    metric = limit.entry
    match limit.scale:
        case LimitScale.POINTS:
            unit = Unit.POINTS
        case LimitScale.RELATIVE:
            unit = Unit.PERCENT
        case LimitScale.ABSOLUTE:
            unit = _level_unit(metric)
    terms: dict[str, str | int] = {
        "metric": limit.metric,
        limit.kind.value: format_amount(Amount(value=limit.amount, unit=unit)),
    }
    if limit.lasting:
        terms["for"] = durations.format_typed(limit.lasting)
    if limit.min_events is not None:
        terms["min_events"] = limit.min_events
    if limit.strict:
        terms["confidence"] = "strict"
    if limit.dry_run:
        terms["mode"] = "dry_run"
    return terms


def _has_points(metric: Metric) -> bool:
    return metric.is_binary or metric.unit == "0–1"


def _scale_change(metric: Metric, kind: LimitKind, amount: Amount) -> tuple[float, LimitScale]:
    text = format_amount(amount)
    if amount.unit is Unit.POINTS:
        if not _has_points(metric):
            raise ValueError(f'"{metric.key}" has no percentage points: write {text.removesuffix("pp")}% (relative)')
        if amount.value >= 1:
            raise ValueError(f"{text} is the whole scale: this limit could never be violated")
        return amount.value, LimitScale.POINTS
    if amount.unit is Unit.NONE:
        if _has_points(metric):
            raise ValueError(f"{text} what? write {text}pp (points) or {text}% (relative)")
        raise ValueError(f"{text} what? write {text}% (relative to control)")
    return _scale_relative(amount, kind), LimitScale.RELATIVE


def _scale_relative(amount: Amount, kind: LimitKind) -> float:
    text = format_amount(amount)
    if amount.unit is Unit.TIMES and kind in (LimitKind.RISES_BY, LimitKind.EXCEEDS_NORMAL_BY) and amount.value > 1:
        return float(round(amount.value - 1, 12))  # 1.5x of control is 50 % more than control
    if amount.unit is Unit.NONE:
        raise ValueError(f"{text} what? write {text}% (relative to control)")
    if amount.unit is not Unit.PERCENT:
        raise ValueError(f"{text} does not suit {kind.value}, which compares: write a percentage such as 15%")
    if kind in (LimitKind.DROPS_BY, LimitKind.CHANGES_BY) and amount.value >= 1:
        raise ValueError(f"nothing {kind.value.replace('_', ' ')} {text}: this limit could never find a drop")
    return amount.value


def _level_unit(metric: Metric) -> Unit:
    if metric.is_binary or metric.kind is MetricKind.COUNT:
        return Unit.PERCENT
    return {"ms": Unit.MILLISECONDS, "US$": Unit.DOLLARS}.get(metric.unit, Unit.NONE)


def scale_level(metric: Metric, amount: Amount) -> float:
    """A level in the metric's own unit; rates as fractions. Raises ValueError that says what to write."""
    unit, text = _level_unit(metric), format_amount(amount)
    if unit is Unit.PERCENT:
        return _scale_fraction(amount, "5%")
    if amount.unit is unit:
        return amount.value
    asked = {
        Unit.MILLISECONDS: "milliseconds, such as 4000ms",
        Unit.DOLLARS: "dollars, such as $0.02",
        Unit.NONE: f"a bare number of {metric.unit}",
    }[unit]
    what = f"{text} what? " if amount.unit is Unit.NONE else f"{text} does not suit exceeds, which is absolute: "
    raise ValueError(f"{what}{metric.key} is in {asked}")


def _scale_fraction(amount: Amount, example: str) -> float:
    text = format_amount(amount)
    if amount.unit is Unit.NONE:
        raise ValueError(explain_bare_rate(amount))
    if amount.unit is not Unit.PERCENT:
        raise ValueError(f"{text} does not suit a rate: write a percentage such as {example}")
    if amount.value >= 1:
        raise ValueError(f"{text} is everything: this limit could never be violated")
    return amount.value
