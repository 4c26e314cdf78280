"""Count simulated requests as intake does: sums per stage, arm, segment and metric in 256 hash buckets."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.judging.model.evidence import (
    BUCKETS,
    CANARY,
    CONTROL,
    EVERYONE,
    REQUESTS,
    BucketSums,
    CellKey,
    EvidenceSums,
    capped_cell,
    exceedance_cell,
)
from core.metrics.catalogue import Metric, MetricKind
from core.stats import quantile
from core.stats.input_checks import Array

Ints = NDArray[np.int64]


class Tally:
    """Sums of one simulated rollout. A place is `profile * 256 + bucket`; users of a profile share all segments.

    `profiles` are the segments of each profile, `thresholds` are by metric those whose exceedances limits need. Caps
    apply to readings that are added after they are set, as in intake.
    """

    def __init__(self, profiles: Sequence[Mapping[str, str]], thresholds: Mapping[str, tuple[float, ...]]) -> None:
        self.caps: dict[str, float] = {}
        self.exposures: dict[tuple[int, str], int] = {}
        self.places = len(profiles) * BUCKETS
        self._thresholds = thresholds
        self._segments = [(EVERYONE, np.arange(len(profiles)))] + [
            (name, np.array([i for i, profile in enumerate(profiles) if name in _segment_names(profile)]))
            for name in sorted({name for profile in profiles for name in _segment_names(profile)})
        ]
        self._cells: dict[CellKey, Array] = {}  # (2, 256): weight, value
        self._histograms: dict[CellKey, Counter[int]] = {}

    def add(self, stage: int, arm: str, metric: str, weight: Array, value: Array) -> None:
        """Add weights and values by place, each of shape (places,)."""
        if not weight.any():
            return
        both = np.stack([weight, value]).reshape(2, -1, BUCKETS)
        for segment, profiles in self._segments:
            added = both.sum(axis=1) if segment == EVERYONE else both[:, profiles].sum(axis=1)
            key = CellKey(stage=stage, arm=arm, segment=segment, metric=metric)
            have = self._cells.get(key)
            self._cells[key] = added if have is None else have + added

    def add_values(self, stage: int, arm: str, entry: Metric, place: Ints, values: Array) -> None:
        """Add single readings of a mean or quantile, each with its place: raw, capped, as exceedances and in bins."""
        if len(values) == 0:
            return
        metric = entry.key
        weight = self._sum_by_place(place)
        self.add(stage, arm, metric, weight, self._sum_by_place(place, values))
        for threshold in self._thresholds.get(metric, ()):
            self.add(
                stage, arm, exceedance_cell(metric, threshold), weight, self._sum_by_place(place, values > threshold)
            )
        cap = self.caps.get(metric)
        if cap is not None:
            self.add(stage, arm, capped_cell(metric, cap), weight, self._sum_by_place(place, np.minimum(values, cap)))
            self.add(stage, arm, exceedance_cell(metric, cap), weight, self._sum_by_place(place, values > cap))
        if entry.kind is MetricKind.QUANTILE:
            self._add_to_histograms(stage, arm, metric, place, values, self._segments)
        elif cap is None:
            self._add_to_histograms(stage, arm, metric, place, values, self._segments[:1])

    def set_exposures(self, stage: int, canary: int, control: int) -> None:
        """Set the number of distinct users that each arm of a stage has seen so far."""
        self.exposures[stage, CANARY] = canary
        self.exposures[stage, CONTROL] = control

    def count_requests(self, stage: int, arm: str) -> float:
        """Number of requests in an arm of a stage so far."""
        have = self._cells.get(CellKey(stage=stage, arm=arm, segment=EVERYONE, metric=REQUESTS))
        return 0.0 if have is None else float(have[0].sum())

    @property
    def sums(self) -> EvidenceSums:
        """Everything counted so far, in the form the engine reads."""
        return EvidenceSums(
            cells={key: BucketSums(weight=both[0], value=both[1]) for key, both in self._cells.items()},
            histograms=self._histograms,
            first_exposures=self.exposures,
        )

    def _sum_by_place(self, place: Ints, values: Array | NDArray[np.bool_] | None = None) -> Array:
        return np.bincount(place, values, self.places).astype(np.float64)

    def _add_to_histograms(
        self, stage: int, arm: str, metric: str, place: Ints, values: Array, segments: Sequence[tuple[str, Ints]]
    ) -> None:
        bins = quantile.bin_indices(values)
        low = int(bins.min())
        width = int(bins.max()) - low + 1
        by_profile = np.bincount(
            (place // BUCKETS) * width + bins - low, minlength=self.places // BUCKETS * width
        ).reshape(-1, width)
        for segment, profiles in segments:
            counted = by_profile[profiles].sum(axis=0)
            key = CellKey(stage=stage, arm=arm, segment=segment, metric=metric)
            have = self._histograms.setdefault(key, Counter())
            for position in np.flatnonzero(counted).tolist():
                have[position + low] += int(counted[position])


def _segment_names(profile: Mapping[str, str]) -> set[str]:
    return {f"{name}={value}" for name, value in profile.items()}
