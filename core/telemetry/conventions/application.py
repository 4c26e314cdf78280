"""Attributes of an application's own: readings and segments that no convention has a name for."""

from collections.abc import Mapping
from typing import Any

from core.telemetry.conventions.readers import MAX_TEXT

PREFIX = "rampart."
OBSERVATION_EVENT = "rampart.observation"
_SOFT_ERROR = "rampart.soft_error"
_METRIC, _SEGMENT = "rampart.metric.", "rampart.segment."
_RATIO_PARTS = frozenset({"numerator", "denominator"})
_MAX_NAMES = 100  # of metrics, and of segments, in one span


def read_prefixed(facts: dict[str, Any], name: str, value: Any) -> None:
    """Keep `rampart.metric.<key>` and `rampart.segment.<name>`; whether a metric is known is checked at intake.

    A ratio comes as two attributes, `rampart.metric.<key>.numerator` and `.denominator`.
    """
    if name.startswith(_METRIC):
        key, _, part = name.removeprefix(_METRIC).partition(".")
        if isinstance(value, bool | int | float) and not part:
            _keep(facts, "metrics", key, value)
        elif isinstance(value, int | float) and not isinstance(value, bool) and part in _RATIO_PARTS:
            known = facts.get("metrics", {}).get(key)
            _keep(facts, "metrics", key, {**(known if isinstance(known, dict) else {}), part: value})
    elif name == _SOFT_ERROR and isinstance(value, str | list):
        said = [value] if isinstance(value, str) else value
        facts["soft_errors"] = [one for one in said[:_MAX_NAMES] if isinstance(one, str) and 0 < len(one) <= MAX_TEXT]
    elif name.startswith(_SEGMENT) and isinstance(value, bool | int | float | str):
        text = value if isinstance(value, str) else str(value).lower()
        _keep(facts, "segments", name.removeprefix(_SEGMENT), text)


def _keep(facts: dict[str, Any], fact: str, name: str, value: Any) -> None:
    named = facts.setdefault(fact, {})
    if 0 < len(name) <= MAX_TEXT and (name in named or len(named) < _MAX_NAMES):
        named[name] = value


def is_own_event(attributes: Mapping[str, Any], name: str) -> bool:
    """Whether a log record reports readings: by its name, or by an attribute `rampart.metric.<key>`."""
    return name == OBSERVATION_EVENT or any(key.startswith(_METRIC) for key in attributes)
