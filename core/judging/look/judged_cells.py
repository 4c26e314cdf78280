"""Which cells hold a judge's readings, and the sums without those that are set aside."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from core.judging.model.evidence import BUCKETS, BucketSums, CellKey, EvidenceSums, metric_of_cell


def is_judged_cell(cell: str, metrics: Collection[str]) -> bool:
    """Whether a cell is of one of these metrics: its own, its capped one, or one of its exceedances."""
    return metric_of_cell(cell) in metrics


def replace_judged(sums: EvidenceSums, marked: EvidenceSums, metrics: Collection[str]) -> EvidenceSums:
    """The sums with the cells of these metrics as they were in `marked`; empty where they were not there yet."""
    nothing = BucketSums(weight=np.zeros(BUCKETS), value=np.zeros(BUCKETS))

    def choose(key: CellKey, now: BucketSums) -> BucketSums:
        return marked.cells.get(key, nothing) if is_judged_cell(key.metric, metrics) else now

    histograms: dict[CellKey, Mapping[int, int]] = {
        key: marked.histograms.get(key, {}) if is_judged_cell(key.metric, metrics) else now
        for key, now in sums.histograms.items()
    }
    return replace(sums, cells={key: choose(key, now) for key, now in sums.cells.items()}, histograms=histograms)
