"""Read the evidence sums as arrays per segment and stage, for metrics of any kind."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.judging.model.evidence import BUCKETS, CANARY, CATEGORY_PREFIX, EVERYONE, REQUESTS, CellKey, EvidenceSums
from core.judging.model.question import ALL_SEGMENTS
from core.metrics.catalogue import CATALOGUE, Metric, MetricKind, denominator_key
from core.stats.input_checks import Array as Array


def read_bucket_sums(
    sums: EvidenceSums, indices: Sequence[int], arm: str, metric: str, segments: Sequence[str] = (EVERYONE,)
) -> Array:
    """(weight, value) sums per bucket, shape (segments, stages, 256, 2); zeros where nothing came in.

    The weight of counts and error categories is the number of requests.
    """
    found = np.zeros((len(segments), len(indices), BUCKETS, 2))
    weighed = REQUESTS if is_counted_over_requests(metric) else metric
    for i, segment in enumerate(segments):
        for j, stage in enumerate(indices):
            cell = sums.cells.get(CellKey(stage=stage, arm=arm, segment=segment, metric=metric))
            if cell is not None:
                found[i, j, :, 1] = cell.value
            if weighed != metric:
                cell = sums.cells.get(CellKey(stage=stage, arm=arm, segment=segment, metric=weighed))
            if cell is not None:
                found[i, j, :, 0] = cell.weight
    return found


def read_metric_sums(
    sums: EvidenceSums,
    indices: Sequence[int],
    arm: str,
    entry: Metric,
    cell: str,
    segments: Sequence[str] = (EVERYONE,),
) -> Array:
    """As `read_bucket_sums`, except that the weight of a ratio is the sum of its denominators, not its readings."""
    found = read_bucket_sums(sums, indices, arm, cell, segments)
    if entry.kind is MetricKind.RATIO:
        found[..., 0] = read_bucket_sums(sums, indices, arm, denominator_key(cell), segments)[..., 1]
    return found


def count_readings(
    sums: EvidenceSums, indices: Sequence[int], arm: str, cell: str, segments: Sequence[str] = (EVERYONE,)
) -> Array:
    """Readings of one arm over several stages, shape (segments,)."""
    return np.asarray(read_bucket_sums(sums, indices, arm, cell, segments)[..., 0].sum((1, 2)))


def is_counted_over_requests(metric: str) -> bool:
    """Whether a metric counts events over all requests instead of having readings of its own."""
    return metric.startswith(CATEGORY_PREFIX) or (metric in CATALOGUE and CATALOGUE[metric].kind is MetricKind.COUNT)


def merge_histograms(
    sums: EvidenceSums, indices: Sequence[int], arm: str, metric: str, segment: str = EVERYONE
) -> Mapping[int, int]:
    """The sum of the log-histograms of several stages: count by bin."""
    found = [
        counted
        for stage in indices
        if (counted := sums.histograms.get(CellKey(stage=stage, arm=arm, segment=segment, metric=metric)))
    ]
    if len(found) == 1:
        return found[0]
    merged: dict[int, int] = {}
    for counted in found:
        for position, count in counted.items():
            merged[position] = merged.get(position, 0) + count
    return merged


def list_category_cells(sums: EvidenceSums) -> tuple[str, ...]:
    """Cell names of all error categories that the canary has shown, sorted."""
    return tuple(
        sorted(
            {
                key.metric
                for key, cell in sums.cells.items()
                if key.arm == CANARY
                and key.segment == EVERYONE
                and key.metric.startswith(CATEGORY_PREFIX)
                and cell.value.any()
            }
        )
    )


def list_metrics(sums: EvidenceSums) -> frozenset[str]:
    """Names of all metrics and cells for which anything came in."""
    return frozenset(key.metric for key in sums.cells if key.segment == EVERYONE)


def count_segment_requests(sums: EvidenceSums, stage: int, cuts: Sequence[str]) -> Mapping[str, float]:
    """Requests of a stage in both arms, by segment (`language=de`), for the dimensions that are judged."""
    found: dict[str, float] = {}
    for key, cell in sums.cells.items():
        if key.stage != stage or key.metric != REQUESTS or key.segment == EVERYONE:
            continue
        if ALL_SEGMENTS in cuts or key.segment.partition("=")[0] in cuts:
            found[key.segment] = found.get(key.segment, 0.0) + float(cell.weight.sum())
    return found
