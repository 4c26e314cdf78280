"""Data points of metrics as observations: only those of an application's own that say whose they are.

A gauge is a level, which exporters send again at every export until it changes, with the time of the export: the same
value of the same attributes is the same reading. A sum adds up what several requests took, so it counts only where
events are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from math import isfinite
from typing import Any

from core.metrics.catalogue import CATALOGUE, MetricKind
from core.telemetry.read_attributes import read_span_attributes

PREFIX = "rampart.metric."
GAUGE_ID = "gauge:"
"""What the ids of observations of gauges begin with. They come again, and are no duplicates that anybody sent."""
_SPANS_SAY_IT = "gen_ai."


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPoint:
    """A data point of a metric. `value` is None unless it is a single number; `at` is nanoseconds since 1970."""

    name: str
    kind: str
    is_delta: bool
    value: float | None
    attributes: Sequence[tuple[str, Any]]
    resource: Sequence[tuple[str, Any]]
    at: int


@dataclass(slots=True)
class RawPoints:
    """The data points of an export. `warnings` say what stands in it that has none that can be read."""

    points: list[RawPoint] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)

    def warn(self, text: str) -> None:
        """Say why something has no points; an empty text says nothing."""
        if text:
            self.warnings[text] = None

    def warn_of_kind(self, name: str) -> None:
        """Say that a metric has no points as it is of no kind."""
        self.warn(f"{name[:60]} is not read: it has neither a gauge nor a sum")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPoints:
    """The observations that points make, how many points made none, and why, each reason once."""

    items: tuple[dict[str, Any], ...]
    rejected: int
    reasons: tuple[str, ...]


def read_points(raw: RawPoints) -> ReadPoints:
    """One observation of a request already counted for each point that names its surface and unit."""
    items: list[dict[str, Any]] = []
    reasons = dict(raw.warnings)
    for point in raw.points:
        item = _read_point(point)
        if isinstance(item, str):
            reasons[item] = None
        else:
            items.append(item)
    return ReadPoints(items=tuple(items), rejected=len(raw.points) - len(items), reasons=tuple(reasons))


def _read_point(point: RawPoint) -> dict[str, Any] | str:
    """The observation of a point, or why there is none."""
    if point.name.startswith(_SPANS_SAY_IT):
        return f"{point.name} sums over many people and spans say the same for each: send traces"
    if not point.name.startswith(PREFIX):
        return f"{point.name[:60]} is not read: a metric is called {PREFIX}<key of the catalogue>"
    if point.value is None or not isfinite(point.value) or (point.kind == "sum" and not point.is_delta):
        return f"{point.name} must be a gauge, or a sum with delta temporality, and its value a finite number"
    key = point.name.removeprefix(PREFIX)
    if point.kind == "sum" and (key not in CATALOGUE or CATALOGUE[key].kind is not MetricKind.COUNT):
        return f"{point.name} adds up requests and does not say how many: send a gauge, a log or spans"
    facts = read_span_attributes((*point.resource, *point.attributes))
    if "surface" not in facts or "unit" not in facts:
        return f"{point.name} needs the attributes feature_flag.key and feature_flag.context.id"
    kind, told = (GAUGE_ID, point.value) if point.kind == "gauge" else ("point:", point.at)
    identity = repr((point.name, told, sorted((name, str(value)) for name, value in point.attributes)))
    item: dict[str, Any] = {
        "id": f"{kind}{blake2b(identity.encode(), digest_size=16).hexdigest()}",
        "metrics": {key: point.value},
        "segments": facts.get("segments", {}),
        "request": False,
        **{fact: facts[fact] for fact in ("surface", "unit", "variant", "version", "exposure") if fact in facts},
    }
    if point.at:
        item["at"] = datetime.fromtimestamp(point.at / 1e9, UTC).isoformat()
    return item
