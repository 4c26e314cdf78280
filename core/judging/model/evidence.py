"""What has been counted: sums per stage, arm, segment and metric in 256 hash buckets of the units."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.judging.model.limits import Kind, Limit
from core.metrics.catalogue import CATALOGUE
from core.metrics.catalogue import Kind as MetricKind

Arm: TypeAlias = Literal["canary", "control"]

BUCKETS = 256
CANARY: Arm = "canary"
CONTROL: Arm = "control"
EVERYONE = ""
REQUESTS = "requests"
CATEGORY = "error_category:"
OTHER = "(other)"
"""What a segment or an error category is called that came when all names were taken."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class CellKey:
    """`segment`: `EVERYONE` or `"language=de"`; `metric`: catalogue key, `REQUESTS`, `CATEGORY` + name or `counter`."""

    stage: int
    arm: str
    segment: str
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucketed:
    """Sums per hash bucket, shape (256,), cumulative within a stage: `weight` counts, `value` adds the readings up."""

    weight: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Everything counted for one rollout. Histograms are log-histograms (`core.stats.quantile`) of quantile metrics;
    first exposures are distinct units by (stage, arm); `moved` says how many more of a stage's units were last seen in
    the canary than were first seen there."""

    cells: Mapping[CellKey, Bucketed] = field(default_factory=dict)
    histograms: Mapping[CellKey, Mapping[int, int]] = field(default_factory=dict)
    first_exposures: Mapping[tuple[int, str], int] = field(default_factory=dict)
    moved: Mapping[int, int] = field(default_factory=dict)


def counter(metric: str, threshold: float) -> str:
    """The cell that counts, as 0 or 1, the requests whose value is above a threshold."""
    return f"{metric}>{threshold:g}"


def capped(metric: str, cap: float) -> str:
    """The cell of a mean's readings with those above a cap counted as the cap, which was frozen from control."""
    return f"{metric}~{cap:g}"


def derived_metrics(limits: Iterable[Limit]) -> Mapping[str, tuple[float, ...]]:
    """Metric -> thresholds for which intake keeps a `counter` beside the metric itself."""
    thresholds: dict[str, set[float]] = {}
    for limit in limits:
        if limit.kind is Kind.EXCEEDS and CATALOGUE[limit.metric].kind is MetricKind.QUANTILE:
            thresholds.setdefault(limit.metric, set()).add(limit.amount)
    return {metric: tuple(sorted(values)) for metric, values in sorted(thresholds.items())}
