"""Counted evidence: sums per stage, arm, segment and metric, spread over 256 hash buckets of units."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.judging.limits.limits import Limit, LimitKind
from core.metrics.catalogue import MetricKind

Arm: TypeAlias = Literal["canary", "control"]

BUCKETS = 256
CANARY: Arm = "canary"
CONTROL: Arm = "control"
EVERYONE = ""
REQUESTS = "requests"
CATEGORY_PREFIX = "error_category:"
OTHER_NAME = "(other)"
"""Name for segments and error categories that appear once the limit on distinct names is reached."""


class CellKey(NamedTuple):
    """Key of one cell of the evidence.

    `segment` is `EVERYONE` or like `"language=de"`. `metric` is a catalogue key, `REQUESTS`, `CATEGORY_PREFIX` + name,
    or the name of an `exceedance_cell` or a `capped_cell`.
    """

    stage: int
    arm: str
    segment: str
    metric: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketSums:
    """Sums per hash bucket, shape (256,), cumulative within a stage: `weight` counts readings, `value` sums them."""

    weight: NDArray[np.float64]
    value: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadSource:
    """A source that cannot be read, and the metrics that it feeds. Looks hold because of it from `holds_from` on."""

    source: str
    metrics: tuple[str, ...]
    why: str
    since: datetime
    holds_from: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceSums:
    """Everything counted for one rollout.

    `histograms` are log-histograms (`core.stats.quantile`) of quantile metrics. `first_exposures` are distinct units by
    (stage, arm of the first exposure). `moved` is, per stage, the number of units last seen in the canary minus the
    number first seen there. `unread` are sources whose newest pulls failed.
    """

    cells: Mapping[CellKey, BucketSums] = field(default_factory=dict)
    histograms: Mapping[CellKey, Mapping[int, int]] = field(default_factory=dict)
    first_exposures: Mapping[tuple[int, str], int] = field(default_factory=dict)
    moved: Mapping[int, int] = field(default_factory=dict)
    unread: tuple[UnreadSource, ...] = ()


def exceedance_cell(metric: str, threshold: float) -> str:
    """Name of the cell that counts, as 0 or 1, the requests whose value exceeds a threshold."""
    return f"{metric}>{threshold:g}"


def capped_cell(metric: str, cap: float) -> str:
    """Name of the cell of a mean's winsorised readings: values above the cap count as the cap."""
    return f"{metric}~{cap:g}"


def metric_of_cell(cell: str) -> str:
    """The metric that a cell is of: its own, its `capped_cell`, or one of its `exceedance_cell`s."""
    return cell.partition("~")[0].partition(">")[0]


def is_exceedance_cell(cell: str) -> bool:
    """Whether a cell has the name of an `exceedance_cell`."""
    return ">" in cell


def is_capped_cell(cell: str) -> bool:
    """Whether a cell has the name of a `capped_cell`."""
    return "~" in cell


def exceedance_thresholds(limits: Iterable[Limit]) -> Mapping[str, tuple[float, ...]]:
    """Thresholds by metric for which intake keeps an `exceedance_cell` in addition to the metric itself."""
    thresholds: dict[str, set[float]] = {}
    for limit in limits:
        if limit.kind is LimitKind.EXCEEDS and limit.entry.kind is MetricKind.QUANTILE:
            thresholds.setdefault(limit.metric, set()).add(limit.amount)
    return {metric: tuple(sorted(values)) for metric, values in sorted(thresholds.items())}


def hash_into_bucket(rollout: str, unit: str) -> tuple[int, int]:
    """(bucket, hash of the unit as a signed 64-bit integer), independent of the assignment of units to arms."""
    digest = sha256((build_bucket_prefix(rollout) + unit).encode()).digest()
    return digest[0], int.from_bytes(digest[1:9], "big", signed=True)


def build_bucket_prefix(rollout: str) -> str:
    """What stands before a unit when it is hashed; the first byte of the SHA-256 of both is its bucket."""
    return f"window\x1f{rollout}\x1f"
