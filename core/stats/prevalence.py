"""A rate as it would be without the known errors of the instrument that measured it."""

from dataclasses import dataclass
from math import sqrt

Z_95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownShare:
    """A share that was measured on `of` independent items; `hits` of them, which need not be a whole number."""

    hits: float
    of: float

    @property
    def value(self) -> float:
        """The share itself."""
        return self.hits / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % interval by Wilson (1927), which holds up for few items and for shares near 0 and 1."""
        squared = Z_95**2
        middle = (self.hits + squared / 2) / (self.of + squared)
        spread = Z_95 * sqrt(self.hits * (self.of - self.hits) / self.of + squared / 4) / (self.of + squared)
        return max(middle - spread, 0.0), min(middle + spread, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectedRate:
    """A rate without the instrument's errors, with its 95 % interval, which carries what is not known of them."""

    value: float
    low: float
    high: float


def correct_rate(raw: KnownShare, sensitivity: KnownShare, specificity: KnownShare) -> CorrectedRate | None:
    """The rate of true passes behind the share `raw` that an instrument let pass (Rogan and Gladen 1978).

    The interval is that of Lang and Reiczigel (2014), which adds the uncertainty of all three shares. None for an
    instrument that is no better than chance: then the share says nothing of the rate.
    """
    if sensitivity.value + specificity.value <= 1:
        return None
    squared = Z_95**2
    n, n_se, n_sp = raw.of + squared, sensitivity.of + 2, specificity.of + 2
    p, se, sp = (raw.hits + squared / 2) / n, (sensitivity.hits + 1) / n_se, (specificity.hits + 1) / n_sp
    slope = se + sp - 1
    if slope <= 0:
        return None
    rate = (p + sp - 1) / slope
    shift = 2 * squared * (rate * se * (1 - se) / n_se - (1 - rate) * sp * (1 - sp) / n_sp)
    variance = p * (1 - p) / n + rate**2 * se * (1 - se) / n_se + (1 - rate) ** 2 * sp * (1 - sp) / n_sp
    spread = Z_95 * sqrt(variance) / slope
    value = (raw.value + specificity.value - 1) / (sensitivity.value + specificity.value - 1)
    value, low, high = (min(max(x, 0.0), 1.0) for x in (value, rate + shift - spread, rate + shift + spread))
    return CorrectedRate(value=value, low=min(low, value), high=max(high, value))
