"""Whether passes became rarer or more frequent, item by item: the exact conditional test of stratified 2x2 tables."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemCounts:
    """How often one item passed: `passed` of `seen` times in all, `late_passed` of the `late_seen` late ones."""

    seen: int
    passed: int
    late_seen: int
    late_passed: int


def compute_change_p(items: Iterable[ItemCounts]) -> float:
    """Two-sided p-value that late and early trials of each item pass equally often.

    Given how often an item passed in all, every order of its trials is equally likely, so that its late passes are
    hypergeometric, whatever the item; the items' sum is compared with its exact distribution (the stratified form of
    Fisher's test: Mantel and Haenszel 1959, Gart 1970). With one early and one late trial it is McNemar's test.
    """
    distribution: NDArray[np.float64] = np.ones(1)
    found, offset = 0, 0
    for item in items:
        least = max(0, item.passed - (item.seen - item.late_seen))
        most = min(item.passed, item.late_seen)
        found, offset = found + item.late_passed, offset + least
        if most > least:
            distribution = np.convolve(distribution, _hypergeometric(item, least, most))
    at = found - offset
    return float(min(1.0, 2 * min(distribution[: at + 1].sum(), distribution[at:].sum())))


def _hypergeometric(item: ItemCounts, least: int, most: int) -> NDArray[np.float64]:
    """The probabilities that `least` to `most` of the late trials pass."""
    ways = [comb(item.late_seen, k) * comb(item.seen - item.late_seen, item.passed - k) for k in range(least, most + 1)]
    return np.array(ways, float) / comb(item.seen, item.passed)
