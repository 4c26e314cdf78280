"""From a trace to the observation that says the same."""

from collections.abc import Collection
from typing import Any

from bot.sources.traces.trace import Fact, SourcedTrace
from core.rollout.state.sources import TraceRows

_TRUTHS = {"true": True, "false": False}


def build_item(rows: TraceRows, surface: str, trace: SourcedTrace, metrics: Collection[str]) -> dict[str, Any]:
    """The observation of a trace, as an application would send it, with these of its metrics."""
    side = {"exposure": rows.columns.exposure, "variant": rows.columns.variant, "version": rows.columns.version}
    said = {name: _to_text(trace.facts.get(column)) for name, column in {**side, "unit": rows.columns.unit}.items()}
    segments = {name: _to_text(trace.facts.get(column)) for name, column in rows.segments.items()}
    return {
        "surface": surface,
        "at": trace.at.isoformat(),
        **{name: text for name, text in said.items() if text or name == "unit"},
        "segments": {name: text for name, text in segments.items() if text},
        "metrics": {key: to_reading(trace.facts[rows.metrics[key]]) for key in metrics},
    }


def list_metrics(rows: TraceRows, trace: SourcedTrace) -> tuple[str, ...]:
    """The metrics that a trace has a value of."""
    return tuple(key for key, column in rows.metrics.items() if column in trace.facts)


def _to_text(fact: Fact | None) -> str:
    return "" if fact is None else str(fact)


def to_reading(fact: Fact) -> Fact:
    """A value as a reading: what is kept as a text may be a number or a truth value."""
    if not isinstance(fact, str):
        return fact
    text = fact.strip().lower()
    if text in _TRUTHS:
        return _TRUTHS[text]
    try:
        return float(text)
    except ValueError:
        return fact  # refused by name, as it would be if it were sent
