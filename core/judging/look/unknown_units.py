"""Makes sums of requests whose units nobody knows count as those of fewer people, each with several requests."""

from dataclasses import replace
from math import sqrt

import numpy as np

from core.judging.look.bucket_sums import Array
from core.judging.model.evidence import BucketSums, CellKey, EvidenceSums, is_exceedance_cell
from core.judging.model.question import Question

MIN_CLUSTERS = 30
"""Clusters with a request that the normal approximation needs, as the error of a mean is that between clusters."""


def weaken_unknown_units(question: Question, sums: EvidenceSums) -> EvidenceSums:
    """The sums, with those of metrics whose units are unknown divided by how many requests count as one.

    The design effect between clusters is then that beyond this assumption: together they are the larger of both.
    Source: Kish (1965), whose effect of clusters is at most their size, if all that one unit meets is alike.
    """
    if not question.unknown_units:
        return sums
    return replace(sums, cells={key: _weaken_cell(question, key, cell) for key, cell in sums.cells.items()})


def widen_error(question: Question, cell: str) -> float:
    """What the standard error of a mean between clusters is multiplied by: units that come back are in several."""
    return sqrt(question.requests_per_unit(cell))


def count_assumed_units(question: Question, cell: str, arm: Array) -> float | None:
    """Units that a weakened arm, of shape (stages, buckets, 2), stands for: 0 while too few clusters had a request.

    None where units are known.
    """
    if not question.has_unknown_units(cell):
        return None
    clusters = int((arm[..., 0] > 0).sum())
    return float(arm[..., 0].sum()) if clusters >= MIN_CLUSTERS else 0.0


def _weaken_cell(question: Question, key: CellKey, cell: BucketSums) -> BucketSums:
    if not question.has_unknown_units(key.metric):
        return cell
    requests, value = question.requests_per_unit(key.metric), cell.value
    if is_exceedance_cell(key.metric) or question.entry_of(key.metric).is_binary:
        value = np.minimum(value, cell.weight)  # an event may be counted a moment before its request
    return BucketSums(weight=cell.weight / requests, value=value / requests)
