"""Reading the sums: arrays per stage for one metric, whatever its kind."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.judging.evidence import BUCKETS, CATEGORY, EVERYONE, REQUESTS, CellKey, Sums
from core.metrics.catalogue import CATALOGUE, Kind
from core.stats.checked import Array as Array


def buckets(sums: Sums, stage: int, arm: str, metric: str) -> Array:
    """(weight, value) per bucket, shape (256, 2); counts and categories weigh requests. Zeros where nothing came in."""
    cell = sums.cells.get(CellKey(stage=stage, arm=arm, segment=EVERYONE, metric=metric))
    over_requests = metric.startswith(CATEGORY) or (metric in CATALOGUE and CATALOGUE[metric].kind is Kind.COUNT)
    weighed = (
        sums.cells.get(CellKey(stage=stage, arm=arm, segment=EVERYONE, metric=REQUESTS)) if over_requests else cell
    )
    none = np.zeros(BUCKETS)
    return np.stack(
        [none if weighed is None else weighed.weight, none if cell is None else cell.value], axis=-1
    ).astype(np.float64)


def stages(sums: Sums, indices: Sequence[int], arm: str, metric: str) -> Array:
    """`buckets` of several stages, shape (stages, 256, 2)."""
    if not indices:
        return np.zeros((0, BUCKETS, 2))
    return np.stack([buckets(sums, stage, arm, metric) for stage in indices])


def histogram(sums: Sums, indices: Sequence[int], arm: str, metric: str) -> Mapping[int, int]:
    """The log-histograms of several stages, added up."""
    merged: dict[int, int] = {}
    for stage in indices:
        counted = sums.histograms.get(CellKey(stage=stage, arm=arm, segment=EVERYONE, metric=metric), {})
        for position, count in counted.items():
            merged[int(position)] = merged.get(int(position), 0) + int(count)
    return merged


def categories(sums: Sums) -> tuple[str, ...]:
    """The error categories' cells that the canary has shown anywhere, sorted."""
    return tuple(
        sorted(
            {
                key.metric
                for key, cell in sums.cells.items()
                if key.arm == "canary"
                and key.segment == EVERYONE
                and key.metric.startswith(CATEGORY)
                and cell.value.any()
            }
        )
    )
