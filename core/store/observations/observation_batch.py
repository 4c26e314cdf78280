"""Sums one batch of observations in memory: in which cells each counts, and what the batch adds to them."""

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.judging.model.evidence import (
    BUCKETS,
    CATEGORY_PREFIX,
    EVERYONE,
    REQUESTS,
    hash_into_bucket,
    is_capped_cell,
    metric_of_cell,
)
from core.metrics.catalogue import CATALOGUE, Metric, MetricKind, counts_as_request
from core.metrics.observation import Observation
from core.metrics.soft_errors import to_error_category
from core.stats.quantile import bin_indices
from core.store.observations.pulled_sums import SET_ASIDE
from core.store.observations.segment_names import ERROR_DIMENSION, SegmentVocabulary

StoredCell: TypeAlias = tuple[str, int, str, str, str]
"""The key of a cell: rollout, stage, arm, segment, metric."""
_Histogram: TypeAlias = dict[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedObservation:
    """An observation and the cell it belongs to. `counters` are derived readings, such as `latency_p95>4000` (0 or 1).

    `metrics` are the surface's own ones that its rollout counts, by name.

    `counts_for_split`: whether the unit's first exposure counts in the sample-ratio check; there it counts in
    `assigned_arm`, if that is not None. Units that were exposed in one of `earlier_cohorts` (stages of the same
    rollout), in either arm, are not counted.
    """

    rollout: str
    stage: int
    arm: str
    unit: str
    observation: Observation
    counters: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    counts_for_split: bool = True
    assigned_arm: str | None = None
    earlier_cohorts: tuple[int, ...] = ()


class UnitExposure(NamedTuple):
    """A unit in one batch: the arm in which it was last seen, and where it last and first counts in the split."""

    arm: str
    counted_arm: str
    first_counted_arm: str


def collect_names(observations: Sequence[PlacedObservation]) -> Mapping[str, Counter[str]]:
    """How often each segment and error category comes, by rollout: names like `language=de`."""
    met: dict[str, Counter[str]] = {}
    alike = Counter([(each.rollout, tuple(each.observation.segments.items())) for each in observations])
    for (rollout, segments), number in alike.items():
        names = met.setdefault(rollout, Counter())
        for name, value in segments:
            names[f"{name}={value}"] += number
    for each in observations:
        for category in _list_categories(each.observation):
            met[each.rollout][f"{ERROR_DIMENSION}={category}"] += 1
    return met


@dataclass(frozen=True, slots=True)
class _ObservationShape:
    """Where observations of one rollout, stage and arm that report the same metrics and errors count.

    It is worked out for the first of them and serves for the rest of the batch. `metrics` are those of their readings,
    then those that count 1 each (`constants`): the request, and every category of an error. `cells` are, by segment
    (None for everyone), the number of the cell of each metric, and whether it has a histogram.
    """

    is_request: bool
    metrics: Sequence[str]
    constants: Sequence[float]
    cells: dict[tuple[str, str] | None, tuple[list[int], list[bool]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SummedCells:
    """What a batch adds to its cells. `sums` has shape (cells, 2, BUCKETS): the middle axis is (weight, value), and
    `numbers` say which cell is where."""

    numbers: Mapping[StoredCell, int]
    sums: NDArray[np.float64]
    histograms: Mapping[StoredCell, _Histogram]


class BatchCollector:
    """The observations of one call, collected in flat lists that numpy sums at the end."""

    def __init__(self, segments: SegmentVocabulary) -> None:
        self._segments = segments
        self._cell_numbers: dict[StoredCell, int] = {}
        self.exposed: dict[tuple[str, int, int], UnitExposure] = {}
        self._shapes: dict[Hashable, _ObservationShape] = {}
        self._cells: list[int] = []  # by reading and segment, as are the next two
        self._values: list[float] = []
        self._binned: list[bool] = []
        self._buckets: list[int] = []  # by observation
        self._sizes: list[int] = []  # how many readings, over all segments

    def add(self, placed: PlacedObservation) -> None:
        """Count an observation in the overall cells and in those of its segments."""
        seen = placed.observation
        bucket, unit_hash = hash_into_bucket(placed.rollout, placed.unit)
        categories = tuple(_list_categories(seen)) if seen.error_category is not None or seen.soft_errors else ()
        key = (
            *(placed.rollout, placed.stage, placed.arm, seen.is_request, seen.error_category is None),
            *(tuple(seen.readings), tuple(placed.counters), categories),
        )
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = self._describe_shape(placed, categories)
        if shape.is_request and placed.counts_for_split:
            unit = (placed.rollout, placed.stage, unit_hash)
            counted, before = placed.assigned_arm or placed.arm, self.exposed.get(unit)
            self.exposed[unit] = UnitExposure(placed.arm, counted, before.first_counted_arm if before else counted)
        values = [*seen.readings.values(), *placed.counters.values(), *shape.constants]
        for segment in (None, *seen.segments.items()):
            found = shape.cells.get(segment)
            if found is None:
                found = shape.cells[segment] = self._number_cells(placed, shape.metrics, segment)
            self._cells += found[0]
            self._binned += found[1]
            self._values += values
        self._buckets.append(bucket)
        self._sizes.append(len(values) * (1 + len(seen.segments)))

    def set_aside(self, placed: PlacedObservation) -> None:
        """Only count an observation, without its readings, since its unit has reached its cap."""
        self._cells.append(self._number_cell((placed.rollout, placed.stage, placed.arm, EVERYONE, SET_ASIDE)))
        self._values.append(1.0)
        self._binned.append(False)
        self._buckets.append(hash_into_bucket(placed.rollout, placed.unit)[0])
        self._sizes.append(1)

    def sum_cells(self) -> SummedCells:
        """The sums and histograms of all that was collected, by cell."""
        size = len(self._cell_numbers) * BUCKETS
        cells, values = np.array(self._cells, np.int64), np.array(self._values, np.float64)
        buckets = np.repeat(np.array(self._buckets, np.int64), np.array(self._sizes, np.int64))
        positions = cells * BUCKETS + buckets
        weights = np.bincount(positions, minlength=size).astype(np.float64)
        summed = np.bincount(positions, values, size)
        binned = np.array(self._binned, bool)
        return SummedCells(
            numbers=self._cell_numbers,
            sums=np.stack([weights.reshape(-1, BUCKETS), summed.reshape(-1, BUCKETS)], axis=1),
            histograms=self._count_bins(cells[binned], values[binned]),
        )

    def _describe_shape(self, placed: PlacedObservation, categories: Sequence[str]) -> _ObservationShape:
        seen = placed.observation
        is_request = seen.is_request and (counts_as_request(seen.readings) or seen.error_category is not None)
        constant = [
            *([REQUESTS] if is_request else []),
            *(CATEGORY_PREFIX + self._segments.category_label(placed.rollout, one) for one in categories),
        ]
        metrics = [*seen.readings, *placed.counters, *constant]
        return _ObservationShape(is_request, metrics, [1.0] * len(constant))

    def _number_cells(
        self, placed: PlacedObservation, metrics: Sequence[str], segment: tuple[str, str] | None
    ) -> tuple[list[int], list[bool]]:
        label = EVERYONE if segment is None else self._segments.segment_label(placed.rollout, *segment)
        numbers = [self._number_cell((placed.rollout, placed.stage, placed.arm, label, metric)) for metric in metrics]
        read = placed.observation.readings
        return numbers, [metric in read and _has_histogram(placed, metric, segment is None) for metric in metrics]

    def _number_cell(self, key: StoredCell) -> int:
        return self._cell_numbers.setdefault(key, len(self._cell_numbers))

    def _count_bins(self, cells: NDArray[np.int64], values: NDArray[np.float64]) -> Mapping[StoredCell, _Histogram]:
        if not len(cells):
            return {}
        bins = bin_indices(values)
        # One number for a cell and a bin, as numpy sorts numbers several times faster than pairs.
        lowest, width = int(bins.min()), int(bins.max() - bins.min()) + 1
        found, counts = np.unique(cells * width + (bins - lowest), return_counts=True)
        keys = list(self._cell_numbers)
        histograms: dict[StoredCell, _Histogram] = {}
        for number, count in zip(found.tolist(), counts.tolist(), strict=True):
            cell_number, position = divmod(number, width)
            histograms.setdefault(keys[cell_number], {})[position + lowest] = count
        return histograms


def _has_histogram(placed: PlacedObservation, metric: str, overall: bool) -> bool:
    """Whether readings of a metric are counted in a histogram: of a quantile in every segment; that of a mean only
    serves to choose its cap."""
    kind = _find_kind(placed, metric)
    if kind is MetricKind.MEAN:
        return overall and not any(is_capped_cell(name) and metric_of_cell(name) == metric for name in placed.counters)
    return kind is MetricKind.QUANTILE


def _list_categories(seen: Observation) -> Iterator[str]:
    """The error categories that an observation counts for: its error, and its soft errors."""
    if seen.error_category is not None:
        yield seen.error_category
    yield from (to_error_category(one) for one in seen.soft_errors)


def _find_kind(placed: PlacedObservation, key: str) -> MetricKind | None:
    """The kind of the metric that a reading is of; None for the denominator of a ratio."""
    entry = placed.metrics.get(key) or CATALOGUE.get(key)
    return entry.kind if entry is not None else None
