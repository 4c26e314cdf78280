"""Attributes of an application's own: readings and segments that no convention has a name for."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from core.telemetry.conventions.readers import MAX_TEXT

PREFIX = "rampart."
OBSERVATION_EVENT = "rampart.observation"
_SOFT_ERROR = "rampart.soft_error"
_METRIC, _SEGMENT = "rampart.metric.", "rampart.segment."
WHAT_IS_READ = "a metric is a number, true or false, a segment a text or one of these, and rampart.soft_error texts"
_RATIO_PARTS = frozenset({"numerator", "denominator"})
_MAX_NAMES = 100  # of metrics, and of segments, in one span


def read_prefixed(facts: dict[str, Any], name: str, value: Any) -> bool:
    """Keep `rampart.metric.<key>` and `rampart.segment.<name>`; whether a metric is known is checked at intake.

    A ratio comes as two attributes, `rampart.metric.<key>.numerator` and `.denominator`. Returns False for what cannot
    be read.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if name.startswith(_METRIC):
        key, _, part = name.removeprefix(_METRIC).partition(".")
        if not part and (is_number or isinstance(value, bool)):
            return _keep(facts, "metrics", key, value)
        if part in _RATIO_PARTS and is_number:
            known = facts.get("metrics", {}).get(key)
            return _keep(facts, "metrics", key, {**(known if isinstance(known, dict) else {}), part: value})
    elif name == _SOFT_ERROR and isinstance(value, str | list):
        said = [value] if isinstance(value, str) else value
        facts["soft_errors"] = [one for one in said[:_MAX_NAMES] if isinstance(one, str) and 0 < len(one) <= MAX_TEXT]
        return True
    elif name.startswith(_SEGMENT) and isinstance(value, bool | int | float | str):
        text = value if isinstance(value, str) else str(value).lower()
        return _keep(facts, "segments", name.removeprefix(_SEGMENT), text)
    return False


def _keep(facts: dict[str, Any], fact: str, name: str, value: Any) -> bool:
    named = facts.setdefault(fact, {})
    if 0 < len(name) <= MAX_TEXT and (name in named or len(named) < _MAX_NAMES):
        named[name] = value
        return True
    return False


def is_own_event(attributes: Mapping[str, Any], name: str) -> bool:
    """Whether a log record reports readings: by its name, or by an attribute `rampart.metric.<key>`."""
    return name == OBSERVATION_EVENT or any(key.startswith(_METRIC) for key in attributes)
