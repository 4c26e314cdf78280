"""Anytime-valid evidence on means and ratios: normal mixtures over stage-stratified hash-bucket sums."""

from math import log, sqrt

import numpy as np
from numpy.typing import ArrayLike

from core.stats import input_checks
from core.stats.input_checks import Array

_LN2 = log(2.0)
_CERTAIN = 30.0  # Phi(30) differs from 1 by 1e-198


def log_e_half_normal(z: ArrayLike, information: ArrayLike) -> Array:
    """One-sided log e-value for a positive effect: H0 effect <= 0.

    `z` is estimate / SE, `information` is r = tau^2 / SE^2 with tau fixed beforehand; both broadcast.
    ln E = ln 2 - ln(1+r)/2 + r z^2 / (2(1+r)) + ln Phi(z sqrt(r/(1+r))). ValueError on NaN or negative information.
    Source: the one-sided normal mixture of Howard, Ramdas, McAuliffe and Sekhon (2021), section 3.
    """
    from scipy.special import erfcx

    score, r = input_checks.check_finite("z", z), input_checks.check_counts("information", information)
    pull = score * np.sqrt(r / (1 + r))
    with np.errstate(over="ignore"):
        # erfcx(-a / sqrt 2) = 2 exp(a^2/2) Phi(a) avoids cancellation; where it would overflow, Phi(a) is 1.
        near = np.log(erfcx(np.minimum(pull, _CERTAIN) / -sqrt(2)))
        tail = np.where(pull > _CERTAIN, _LN2 + pull**2 / 2, near)
    return np.asarray(tail - np.log1p(r) / 2, dtype=np.float64)


def level_increments(
    canary_value: ArrayLike,
    canary_weight: ArrayLike,
    control_value: ArrayLike,
    control_weight: ArrayLike,
    *,
    variance: ArrayLike,
    effects: ArrayLike,
    side: input_checks.Side,
    ratio: float = 1.0,
    shift: float = 0.0,
) -> Array:
    """What one batch of new readings adds to the log components, shape (..., K), of a mean's likelihood ratios.

    H0: canary <= ratio * control + shift (side "greater"), or >= ("less"). The difference d of the batch's levels is
    taken as normal with variance V = `variance` (1 / X_T + ratio^2 / X_C); `variance` is that of one unit of weight and
    has to be known before the batch, as have the `effects`, shape (..., K), the alternatives in the metric's own unit:
    each adds (effect d - effect^2 / 2) / V. A batch that lacks an arm, or an unknown (0) variance, adds nothing.
    Source: Wald (1947) for known variance; the plug-in makes it approximate, as the batch is.
    """
    Y_T, X_T, Y_C, X_C = (
        input_checks.check_finite(name, value)
        for name, value in (
            ("canary_value", canary_value),
            ("canary_weight", canary_weight),
            ("control_value", control_value),
            ("control_weight", control_weight),
        )
    )
    spread, sizes = input_checks.check_counts("variance", variance), input_checks.check_counts("effects", effects)
    known = (X_T > 0) & (X_C > 0) & (spread > 0)
    sign = 1.0 if input_checks.is_greater_side(side) else -1.0
    with np.errstate(all="ignore"):
        difference = sign * (Y_T / X_T - ratio * Y_C / X_C - shift)
        V = spread * (1 / X_T + ratio**2 / X_C)
        gain = (sizes * difference[..., np.newaxis] - sizes**2 / 2) / V[..., np.newaxis]
    return np.where(known[..., np.newaxis], gain, 0.0)


def confidence_sequence(
    estimate: float, standard_error: float, *, tau: float, alpha: float = 0.05
) -> tuple[float, float]:
    """Confidence sequence (low, high) of an effect at level 1 - alpha: what a normal mixture does not reject.

    Half-width SE * sqrt((1+r)/r * (ln(1+r) - 2 ln alpha)), r = tau^2/SE^2. ValueError unless SE and tau are positive.
    Its two-sided e-value is the mean of `log_e_half_normal` on both sides, as e-values. Source: Robbins (1970).
    """
    input_checks.check_probability("alpha", alpha)
    if not (standard_error > 0 and tau > 0 and np.isfinite([estimate, standard_error, tau]).all()):
        raise ValueError("an interval needs a finite estimate and a positive standard error and tau")
    r = (tau / standard_error) ** 2
    half = standard_error * sqrt((1 + r) / r * (np.log1p(r) - 2 * log(alpha)))
    return estimate - half, estimate + half


class _StageLevels:
    """One arm's level of each stage, put together by the stages' shares; the residuals only when they are asked for."""

    __slots__ = ("_pull", "_rate", "_sums", "level")

    def __init__(self, sums: Array, weight: Array, share: Array, known: Array) -> None:
        self._sums = sums
        with np.errstate(all="ignore"):
            self._rate = np.where(weight > 0, sums[..., 1].sum(axis=-1) / weight, 0.0)
            self._pull = np.where(weight > 0, share / weight, 0.0)
        self.level = np.where(known, (share * self._rate).sum(axis=-1), np.nan)

    def compute_residual(self) -> Array:
        """What each bucket adds to the level beyond its expectation, shape (..., buckets)."""
        X, Y = self._sums[..., 0], self._sums[..., 1]
        return np.asarray(
            np.einsum("...s,...sb->...b", self._pull, Y) - np.einsum("...s,...sb->...b", self._pull * self._rate, X),
            dtype=np.float64,
        )

    def compute_spread(self) -> tuple[Array, Array]:
        """Variance of the level up to a factor, and its square per degree of freedom, shape (...)."""
        leverage = np.einsum("...s,...sb->...b", self._pull, self._sums[..., 0]) ** 2
        spread = np.asarray((self.compute_residual() ** 2).sum(axis=-1))
        return spread, spread**2 * (leverage**2).sum(axis=-1) / leverage.sum(axis=-1) ** 2


class StratifiedLevels:
    """Both arms' stratified levels, shape (...), nan where no stage has both arms."""

    __slots__ = ("_arms", "_known", "canary", "control")

    def __init__(self, canary: _StageLevels, control: _StageLevels, known: Array) -> None:
        self.canary, self.control = canary.level, control.level
        self._arms, self._known = (canary, control), known

    def standard_error(self, ratio: float = 1.0) -> Array:
        """Standard error of canary - ratio * control; inf where it is unknown.

        The variance is that of bucket sums, so units that move between arms and correlated requests are accounted for.
        Source: stratified ratio estimator with a cluster jackknife linearisation (Cochran 1977, chapter 6).
        """
        canary, control = (one.compute_residual() for one in self._arms)
        return _bucket_standard_error(canary - ratio * control, self._known)

    def degrees_of_freedom(self) -> Array:
        """Degrees of freedom of the error of canary - control, shape (...); at least 1.

        Where few busy buckets make up most of an arm, its error is that of a few numbers. As if each bucket had one
        level of its own, an arm has (sum h^2)^2 / sum h^4 with leverages h; both are joined by their variances. Source:
        Bell and McCaffrey (2002) for clusters that are alike inside; Satterthwaite (1946).
        """
        with np.errstate(all="ignore"):
            spread, parts = zip(*(one.compute_spread() for one in self._arms), strict=True)
            found = sum(spread) ** 2 / sum(parts)
        return np.where(self._known & np.isfinite(found), np.maximum(found, 1.0), 1.0)


def stratify_levels(canary: ArrayLike, control: ArrayLike, *, included: ArrayLike | None = None) -> StratifiedLevels:
    """Level of each arm over the stages in which both have weight: sum_s w_s R / sum_s w_s, with R = sum Y / sum X.

    Arrays of shape (..., stages, buckets, 2), last axis (weight X, value Y), cumulative within each stage; w is
    X_T X_C / (X_T + X_C). A stage that lacks an arm drops out; none left gives nan, and an error of inf. ValueError on
    NaN, negative weights, other shapes.

    Only stages that are `included` count, all without it; it broadcasts with (..., stages), so that one call answers
    for several sets of stages.
    """
    T, C = _bucket_sums("canary", canary), _bucket_sums("control", control)
    T, C = input_checks.broadcast_together({"canary": T, "control": C})
    x_T, x_C = T[..., 0].sum(axis=-1), C[..., 0].sum(axis=-1)
    both = (x_T > 0) & (x_C > 0)
    if included is not None:
        both = both & np.asarray(included, dtype=np.bool_)
    with np.errstate(all="ignore"):
        w = np.where(both, x_T * x_C / (x_T + x_C), 0.0)
        share = np.where(both, w / w.sum(axis=-1, keepdims=True), 0.0)
    known = both.any(axis=-1)
    return StratifiedLevels(_StageLevels(T, x_T, share, known), _StageLevels(C, x_C, share, known), known)


def pooled_level(arm: ArrayLike, *, included: ArrayLike | None = None) -> tuple[Array, Array]:
    """(level, standard error), shape (...), of one arm's sum Y / sum X, pooled over stages.

    `arm` has shape (..., stages, buckets, 2). Without any weight the result is (nan, inf). Only stages that are
    `included` count, as in `stratify_levels`.
    """
    pooled = _sum_over_stages(_bucket_sums("arm", arm), included)[..., np.newaxis, :, :]
    weight = pooled[..., 0].sum(axis=-1)
    known = (weight > 0).any(axis=-1)
    found = _StageLevels(pooled, weight, (weight > 0).astype(np.float64), known)
    return found.level, _bucket_standard_error(found.compute_residual(), known)


def _sum_over_stages(sums: Array, included: ArrayLike | None) -> Array:
    """Sums (..., stages, buckets, 2) to (..., buckets, 2)."""
    if included is None:
        return np.asarray(sums.sum(axis=-3))
    return np.asarray(np.einsum("...s,...sbc->...bc", np.asarray(included, dtype=np.float64), sums))


def _bucket_standard_error(residual: Array, known: Array) -> Array:
    buckets = residual.shape[-1]
    variance = buckets / (buckets - 1) * (residual**2).sum(axis=-1)
    return np.where(known, np.sqrt(variance), np.inf)


def _bucket_sums(name: str, value: ArrayLike) -> Array:
    array = input_checks.check_finite(name, value)
    if array.ndim < 3 or array.shape[-1] != 2 or array.shape[-2] < 2:
        raise ValueError(f"{name} must have shape (..., stages, at least 2 buckets, 2), not {array.shape}")
    if (array[..., 0] < 0).any():
        raise ValueError(f"{name} holds a negative weight")
    return array
