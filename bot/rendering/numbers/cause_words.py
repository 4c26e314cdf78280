"""Causes in words: `+$0.0052 on average: +$0.0041 because calls per request went from 1.3 to 2.2, +$0.0011 from the
rest`."""

from collections.abc import Sequence

from bot.rendering import wording
from core.judging.model.causes import Cause, CauseFactor, DifferenceCauses
from core.metrics.money import dollars

_NAMES: dict[CauseFactor, str] = {
    "calls": "calls per request",
    "call_cost": "the cost of a call",
    "input_tokens": "tokens sent per call",
    "output_tokens": "tokens answered per call",
    "cache_hits": "prompt cache use",
    "price": "the price of a million tokens (models, prices)",
    "tools": "time in tools",
    "first_word": "the wait for the first word beside tools",
    "rest": "the rest of the time",
}
_LEAST_SHARE = 0.2
"""Share of a difference from which a cause is named in a sentence."""
_LEAST_REST = 0.05
"""Share of a difference from which the rest of it is told."""
_MAX_NAMED = 2
_PER_MILLION = 1_000_000


def format_reason(causes: Sequence[DifferenceCauses], metric: str) -> str:
    """`+$0.0052 on average: +$0.0041 because calls per request went from 1.3 to 2.2, +$0.0011 from the rest`; empty if
    no cause is certain.

    Only causes whose range excludes zero are named, and only those that are a good part of the difference. A cause may
    be more than the difference, where others work against it.
    """
    found = find_causes(causes, metric)
    if found is None:
        return ""
    least = _LEAST_SHARE * abs(found.difference)
    named = [one for one in found.causes if _is_certain(one) and one.contribution * found.difference > 0]
    named = [one for one in named if abs(one.contribution) >= least][:_MAX_NAMED]
    if not named:
        return ""
    calls = next((one.canary for one in found.causes if one.factor == "calls"), None)
    parts = [f"{_format_amount(one.contribution, found.unit)} because {_describe_cause(one, calls)}" for one in named]
    rest = found.difference - sum(one.contribution for one in named)
    if abs(rest) >= _LEAST_REST * abs(found.difference):
        parts.append(f"{_format_amount(rest, found.unit)} from the rest")
    return f"{_format_amount(found.difference, found.unit)} on average: {', '.join(parts)}"


def _describe_cause(cause: Cause, calls: float | None) -> str:
    """What went from where to where; the cost of a call is told apart from that of a request, with `calls` per
    request where they are known."""
    before, after = _format_level(cause, cause.control), _format_level(cause, cause.canary)
    if cause.factor != "call_cost":
        return f"{_NAMES[cause.factor]} went from {before} to {after}"
    many = f" (about {calls:.2g} calls per request)" if calls is not None else ""
    return f"a model call costs {after} instead of {before}{many}"


def list_causes(causes: Sequence[DifferenceCauses], metric: str) -> list[str]:
    """A line for each cause with its range; together they are the difference. Empty if nothing is known."""
    found = find_causes(causes, metric)
    if found is None:
        return []
    lines = [f"*Where the difference of {_format_amount(found.difference, found.unit)} on average comes from*"]
    for one in found.causes:
        bounds = ""
        if one.low is not None and one.high is not None:
            bounds = f" ({_format_amount(one.low, found.unit)} … {_format_amount(one.high, found.unit)})"
        lines.append(
            f"{_format_amount(one.contribution, found.unit)}{bounds}  {_NAMES[one.factor]}: "
            f"{_format_level(one, one.canary)} new, {_format_level(one, one.control)} old"
        )
    return lines


def find_causes(causes: Sequence[DifferenceCauses], metric: str) -> DifferenceCauses | None:
    """The causes that explain a metric; None if nothing does."""
    return next((one for one in causes if metric in one.metrics), None)


def _is_certain(cause: Cause) -> bool:
    return cause.low is not None and cause.high is not None and (cause.low > 0 or cause.high < 0)


def _format_level(cause: Cause, level: float) -> str:
    match cause.factor:
        case "call_cost":
            return dollars(level)
        case "price":
            return dollars(level * _PER_MILLION)
        case "cache_hits":
            return wording.format_percent(100 * level)
        case "tools" | "first_word" | "rest":
            return wording.format_value(level, "ms")
        case "calls":
            return f"{level:.2g}" if level < 10 else f"{level:.0f}"
        case _:
            return wording.format_count(level)


def _format_amount(amount: float, unit: str) -> str:
    sign = "-" if amount < 0 else "+"
    return f"{sign}{dollars(abs(amount)) if unit == 'US$' else wording.format_value(abs(amount), unit)}"
