"""Sums of observations per stage, arm, segment and metric, in 256 hash buckets of the unit."""

from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from core.judging.model.evidence import (
    BUCKETS,
    CANARY,
    CATEGORY_PREFIX,
    CONTROL,
    EVERYONE,
    REQUESTS,
    BucketSums,
    CellKey,
    EvidenceSums,
    hash_into_bucket,
    is_capped_cell,
    metric_of_cell,
)
from core.metrics.catalogue import CATALOGUE, Metric, MetricKind, counts_as_request
from core.metrics.observation import Observation
from core.metrics.soft_errors import to_error_category
from core.stats.quantile import bin_indices
from core.store.database.driver import fetch_all
from core.store.database.row_source import build_row_source, upsert_rows
from core.store.models import cell, exposure_count
from core.store.observations import pulled_sums
from core.store.observations.cell_bytes import pack_bins, pack_sums, unpack_bins, unpack_sums
from core.store.observations.segment_names import ERROR_DIMENSION, SegmentVocabulary
from core.store.observations.unit_caps import UnitCaps

SET_ASIDE = pulled_sums.SET_ASIDE
"""The metric under which observations beyond a unit's cap are counted."""
_ROWS = 100
_MOVED_ARM = "moved"
"""Stored in place of an arm: how many more units were last seen in the canary than were first seen there."""
_ASKED_FIRST = "WHERE rollout = in_rollout AND stage = in_stage"
"""After a CROSS JOIN: each row that is asked for is then found by its key. For `(a, b) IN (VALUES …)` SQLite would read
the whole table."""
_UNIT_TYPES = ("text", "int", "bigint", "text")
_KEY_TYPES = ("text", "int", "text", "text", "text")

_Key: TypeAlias = tuple[str, int, str, str, str]  # rollout, stage, arm, segment, metric
_T = TypeVar("_T")
_Histogram: TypeAlias = dict[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedObservation:
    """An observation and the cell it belongs to. `counters` are derived readings, such as `latency_p95>4000` (0 or 1).

    `metrics` are the surface's own ones that its rollout counts, by name.

    `counts_for_split`: whether the unit's first exposure counts in the sample-ratio check; there it counts in
    `assigned_arm`, if that is not None. Units that were exposed in
    one of `earlier_cohorts` (stages of the same rollout), in either arm, are not counted.
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


def add_observations(
    connection: Connection,
    observations: Sequence[PlacedObservation],
    vocabulary: SegmentVocabulary | None = None,
    unit_caps: UnitCaps | None = None,
) -> None:
    """Add observations to their cells, in a writing transaction; safe with other processes doing the same.

    Larger batches are much cheaper per observation, as each touched cell is rewritten once per call. A `vocabulary`
    kept between calls saves queries for the known segments. With `unit_caps`, observations beyond a unit's cap are only
    counted in the cell `SET_ASIDE`, which takes no part in verdicts.
    """
    observations = _drop_earlier_cohorts(connection, observations)
    lock_rollouts(connection, {each.rollout for each in observations})
    segments = vocabulary or SegmentVocabulary()
    segments.register_names(connection, _collect_names(observations))
    batch = _ObservationBatch(segments)
    counted = unit_caps.admit(observations) if unit_caps is not None else [True] * len(observations)
    for each, counts in zip(observations, counted, strict=True):
        if counts:
            batch.add(each)
        else:
            batch.set_aside(each)
    _add_cells(connection, batch)
    _add_exposures(connection, batch.exposed)


def count_requests(connection: Connection, rollout: str, stages: Collection[int]) -> dict[str, float]:
    """The requests of both arms in some stages, by segment; those of everyone are under `EVERYONE`."""
    wanted = select(cell.c.stage, cell.c.segment, cell.c.buckets).where(
        cell.c.rollout == rollout, cell.c.metric == REQUESTS, cell.c.arm.in_((CANARY, CONTROL))
    )
    counted: dict[str, float] = {}
    for stage, segment, buckets in connection.execute(wanted):
        if stage in stages:
            counted[segment] = counted.get(segment, 0.0) + float(unpack_sums(buckets)[0].sum())
    return counted


def load_sums(connection: Connection, rollout: str, *, segments: bool = True) -> EvidenceSums:
    """The sums of a rollout so far, pushed and pulled, cumulative within each stage; with `segments=False` only the
    overall cells."""
    cells: dict[CellKey, BucketSums] = {}
    histograms: dict[CellKey, Mapping[int, int]] = {}
    wanted, parameters = "SELECT stage, arm, segment, metric, buckets, histogram FROM cell WHERE rollout = ?", [rollout]
    if not segments:
        wanted, parameters = f"{wanted} AND segment = ?", [rollout, EVERYONE]
    for stage, arm, segment, metric, buckets, histogram in fetch_all(connection, wanted, parameters):
        key = CellKey(stage=stage, arm=arm, segment=segment, metric=metric)
        weight, value = unpack_sums(buckets)
        cells[key] = BucketSums(weight=weight, value=value)
        if histogram is not None:
            histograms[key] = unpack_bins(histogram)
    counted = select(exposure_count).where(exposure_count.c.rollout == rollout)
    units = {(row.stage, row.arm): row.units for row in connection.execute(counted)}
    pushed = EvidenceSums(
        cells=cells,
        histograms=histograms,
        first_exposures={key: number for key, number in units.items() if key[1] != _MOVED_ARM},
        moved={stage: number for (stage, arm), number in units.items() if arm == _MOVED_ARM},
    )
    return pulled_sums.add_pulled(connection, rollout, pushed, segments=segments)


def _drop_earlier_cohorts(
    connection: Connection, observations: Sequence[PlacedObservation]
) -> Sequence[PlacedObservation]:
    """Drop observations of units that an earlier cohort's stage has compared already.

    Both arms of that stage have met the new version or were selected for it, so the arms of this stage would no longer
    be comparable.
    """
    asked = sorted(
        {
            (each.rollout, stage, hash_into_bucket(each.rollout, each.unit)[1])
            for each in observations
            for stage in each.earlier_cohorts
        }
    )
    if not asked:
        return observations
    known: set[tuple[str, int]] = set()
    for units in _split_chunks(asked, _ROWS * 5):
        wanted, parameters = build_row_source(connection, ("text", "int", "bigint"), units)
        rows = fetch_all(
            connection,
            f"WITH asked (in_rollout, in_stage, asked_unit) AS ({wanted})"  # noqa: S608
            f" SELECT rollout, unit_hash FROM asked CROSS JOIN exposure {_ASKED_FIRST}"
            " AND unit_hash = asked_unit",
            parameters,
        )
        known.update((row[0], row[1]) for row in rows)
    return [
        each
        for each in observations
        if not each.earlier_cohorts or (each.rollout, hash_into_bucket(each.rollout, each.unit)[1]) not in known
    ]


def _collect_names(observations: Sequence[PlacedObservation]) -> Mapping[str, Counter[str]]:
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
class _AlikeObservations:
    """What observations of one arm with readings of the same metrics have in common.

    Their readings are followed by `constants`: 1 for a request, and for each category of an error. `cells` are, by
    segment (None for everyone), the number of the cell of each of these, and whether it has a histogram.
    """

    is_request: bool
    metrics: Sequence[str]
    constants: Sequence[float]
    cells: dict[tuple[str, str] | None, tuple[list[int], list[bool]]] = field(default_factory=dict)


class _ObservationBatch:
    """The observations of one call, collected in flat lists that numpy sums at the end."""

    def __init__(self, segments: SegmentVocabulary) -> None:
        self._segments = segments
        self.cell_numbers: dict[_Key, int] = {}
        self.histograms: dict[_Key, _Histogram] = {}
        self.exposed: dict[tuple[str, int, int], str] = {}
        self._alike: dict[Hashable, _AlikeObservations] = {}
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
        alike = self._alike.get(key)
        if alike is None:
            alike = self._alike[key] = self._describe(placed, categories)
        if alike.is_request and placed.counts_for_split:
            self.exposed.setdefault((placed.rollout, placed.stage, unit_hash), placed.assigned_arm or placed.arm)
        values = [*seen.readings.values(), *placed.counters.values(), *alike.constants]
        for segment in (None, *seen.segments.items()):
            found = alike.cells.get(segment)
            if found is None:
                found = alike.cells[segment] = self._number_cells(placed, alike.metrics, segment)
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

    def build_sums(self) -> NDArray[np.float64]:
        """An array of shape (cells, 2, BUCKETS): the middle axis is (weight, value), cells as in `cell_numbers`.

        Fills `histograms`.
        """
        size = len(self.cell_numbers) * BUCKETS
        cells, values = np.array(self._cells, np.int64), np.array(self._values, np.float64)
        buckets = np.repeat(np.array(self._buckets, np.int64), np.array(self._sizes, np.int64))
        slots = cells * BUCKETS + buckets
        weights = np.bincount(slots, minlength=size).astype(np.float64)
        summed = np.bincount(slots, values, size)
        binned = np.array(self._binned, bool)
        self._fill_histograms(cells[binned], values[binned])
        return np.stack([weights.reshape(-1, BUCKETS), summed.reshape(-1, BUCKETS)], axis=1)

    def _describe(self, placed: PlacedObservation, categories: Sequence[str]) -> _AlikeObservations:
        seen = placed.observation
        is_request = seen.is_request and (counts_as_request(seen.readings) or seen.error_category is not None)
        constant = [
            *([REQUESTS] if is_request else []),
            *(CATEGORY_PREFIX + self._segments.category_label(placed.rollout, one) for one in categories),
        ]
        metrics = [*seen.readings, *placed.counters, *constant]
        return _AlikeObservations(is_request, metrics, [1.0] * len(constant))

    def _number_cells(
        self, placed: PlacedObservation, metrics: Sequence[str], segment: tuple[str, str] | None
    ) -> tuple[list[int], list[bool]]:
        label = EVERYONE if segment is None else self._segments.segment_label(placed.rollout, *segment)
        numbers = [self._number_cell((placed.rollout, placed.stage, placed.arm, label, metric)) for metric in metrics]
        read = placed.observation.readings
        return numbers, [metric in read and _has_histogram(placed, metric, segment is None) for metric in metrics]

    def _number_cell(self, key: _Key) -> int:
        return self.cell_numbers.setdefault(key, len(self.cell_numbers))

    def _fill_histograms(self, cells: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        if not len(cells):
            return
        bins = bin_indices(values)
        # One number for a cell and a bin, as numpy sorts numbers several times faster than pairs.
        lowest, width = int(bins.min()), int(bins.max() - bins.min()) + 1
        found, counts = np.unique(cells * width + (bins - lowest), return_counts=True)
        keys = list(self.cell_numbers)
        for number, count in zip(found.tolist(), counts.tolist(), strict=True):
            cell_number, position = divmod(number, width)
            self.histograms.setdefault(keys[cell_number], {})[position + lowest] = count


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


def lock_rollouts(connection: Connection, rollouts: Iterable[str]) -> None:
    """On Postgres, let one transaction per rollout add at a time; locks in a fixed order, to avoid deadlocks."""
    if connection.dialect.name == "postgresql":
        locks = sorted(int.from_bytes(sha256(each.encode()).digest()[:4], "big", signed=True) for each in rollouts)
        for lock in locks:
            fetch_all(connection, "SELECT 1 FROM (SELECT pg_advisory_xact_lock(1, ?)) AS turn", (lock,))


def load_arms_seen(connection: Connection, rollout: str, unit: str) -> Mapping[int, str]:
    """The arm in which observations of `unit` were last counted, by stage. Stages without any are left out."""
    found = fetch_all(
        connection,
        "SELECT stage, arm FROM exposure WHERE rollout = ? AND unit_hash = ?",
        (rollout, hash_into_bucket(rollout, unit)[1]),
    )
    return {row[0]: row[1] for row in found}


def _add_cells(connection: Connection, batch: _ObservationBatch) -> None:
    """Add the batch to the stored sums and histograms of its cells."""
    sums = batch.build_sums()
    for keys in _split_chunks(sorted(batch.cell_numbers), _ROWS):
        stored = _load_cells(connection, keys)
        rows: list[tuple[Any, ...]] = []
        for key in keys:
            added, histogram = sums[batch.cell_numbers[key]], batch.histograms.get(key)
            if key in stored:
                buckets, counted = stored[key]
                added = added + unpack_sums(buckets)
                if histogram is not None and counted is not None:
                    histogram = Counter(histogram) + Counter(unpack_bins(counted))
            rows.append((*key, pack_sums(added), pack_bins(histogram)))
        upsert_rows(
            connection,
            "cell (rollout, stage, arm, segment, metric, buckets, histogram)",
            (*_KEY_TYPES, "bytea", "bytea"),
            rows,
            "ON CONFLICT (rollout, stage, arm, segment, metric)"
            " DO UPDATE SET buckets = excluded.buckets, histogram = excluded.histogram RETURNING 1",
        )


def _load_cells(connection: Connection, keys: Sequence[_Key]) -> dict[_Key, tuple[bytes, bytes | None]]:
    wanted, parameters = build_row_source(connection, _KEY_TYPES, keys)
    rows = fetch_all(
        connection,
        f"WITH asked (in_rollout, in_stage, of_arm, of_segment, of_metric) AS ({wanted})"  # noqa: S608
        " SELECT rollout, stage, arm, segment, metric, buckets, histogram"
        f" FROM asked CROSS JOIN cell {_ASKED_FIRST} AND arm = of_arm AND segment = of_segment AND metric = of_metric",
        parameters,
    )
    return {(row[0], row[1], row[2], row[3], row[4]): (row[5], row[6]) for row in rows}


def _add_exposures(connection: Connection, exposed: Mapping[tuple[str, int, int], str]) -> None:
    """Count the units exposed for the first time, and those that have changed arms since: on its first exposure, a
    client may still have used the cached arm of the stage before."""
    fresh: Counter[tuple[str, int, str]] = Counter()
    for units in _split_chunks(sorted(exposed), _ROWS * 5):
        rows = upsert_rows(
            connection,
            "exposure (rollout, stage, unit_hash, arm)",
            _UNIT_TYPES,
            [(*unit, exposed[unit]) for unit in units],
            "ON CONFLICT DO NOTHING RETURNING rollout, stage, unit_hash, arm",
        )
        fresh.update((rollout, stage, arm) for rollout, stage, _, arm in rows)
        seen_now = {(rollout, stage, unit_hash) for rollout, stage, unit_hash, _ in rows}
        for rollout, stage, arm in _update_arms(connection, [(*u, exposed[u]) for u in units if u not in seen_now]):
            fresh[rollout, stage, _MOVED_ARM] += 1 if arm == CANARY else -1
    if fresh:
        upsert_rows(
            connection,
            "exposure_count (rollout, stage, arm, units)",
            ("text", "int", "text", "bigint"),
            [(*key, fresh[key]) for key in sorted(fresh)],
            "ON CONFLICT (rollout, stage, arm) DO UPDATE SET units = exposure_count.units + excluded.units RETURNING 1",
        )


def _update_arms(connection: Connection, units: Sequence[tuple[str, int, int, str]]) -> list[Any]:
    """Update the arm in which known units were last seen; (rollout, stage, new arm) of those that changed arms."""
    if not units:
        return []
    listed, parameters = build_row_source(connection, _UNIT_TYPES, units)
    return fetch_all(
        connection,
        f"WITH seen (rollout, stage, unit_hash, arm) AS ({listed})"  # noqa: S608
        " UPDATE exposure SET arm = seen.arm FROM seen"
        " WHERE (exposure.rollout, exposure.stage, exposure.unit_hash) = (seen.rollout, seen.stage, seen.unit_hash)"
        " AND exposure.arm <> seen.arm RETURNING exposure.rollout, exposure.stage, exposure.arm",
        parameters,
    )


def _split_chunks(items: Sequence[_T], size: int) -> Iterable[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
