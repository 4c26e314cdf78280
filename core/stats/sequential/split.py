"""Sample-ratio mismatch: sequential evidence on whether first exposures were split as designed."""

import numpy as np
from numpy.typing import ArrayLike

from core.stats import input_checks
from core.stats.input_checks import Array

CONCENTRATIONS = np.array([50.0, 500.0, 5000.0, 50000.0])


def log_bayes_factor(counts: ArrayLike, design: ArrayLike) -> Array:
    """Cumulative log Bayes factor against the design, shape (..., ticks), from counts per tick (..., ticks, arms).

    `design` of shape (arms,), at least 2 arms, positive, sums to 1. An equal mixture of Dirichlet alternatives centred
    on the design with concentrations 50, 500, 5000 and 50000. ValueError on negative counts, NaN or a bad design.
    Source: Lindon and Malek, "Anytime-valid inference for multinomial count data" (2022).
    """
    from scipy.special import gammaln

    seen, share = input_checks.check_counts("counts", counts), input_checks.check_finite("design", design)
    if share.ndim != 1 or share.size < 2 or (share <= 0).any() or abs(share.sum() - 1) > 1e-9:
        raise ValueError("design must hold at least two positive shares that sum to 1")
    if seen.ndim < 2 or seen.shape[-1] != share.size:
        raise ValueError(f"counts must have shape (..., ticks, {share.size}), not {seen.shape}")
    total = np.cumsum(seen, axis=-2)[..., np.newaxis, :]
    prior = CONCENTRATIONS[:, np.newaxis] * share
    arms = (gammaln(prior + total) - gammaln(prior) - total * np.log(share)).sum(axis=-1)
    everyone = gammaln(CONCENTRATIONS) - gammaln(CONCENTRATIONS + total.sum(axis=-1))
    return np.asarray(np.logaddexp.reduce(arms + everyone, axis=-1) - np.log(CONCENTRATIONS.size), dtype=np.float64)
