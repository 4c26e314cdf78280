"""How much sooner harm would be found if a unit's past were taken into account, by bucket and by unit.

Run it with `python -m bench.evidence.unit_past RUNS`. The people of the field trial ask under the live version, then
for a stage that is half of everybody on either version; one unit counts up to five times what is usual. The time until
harm of a mean is found goes with the variance of the difference, so the figure is the variance that is left, of 1.

The past is four requests of a unit, as the earlier stages of a rollout have, or twenty, as two halves would have if
buckets held the same units in every rollout.

- By bucket: each of the 256 buckets has its level of the past as covariate, for both arms alike. The sums are stored
  anyway. The coefficient is that of the past's second half on its first, so it is known before the stage.
- By unit: each unit has its own level of the past, drawn towards the mean as its readings ask for, with coefficient 1.
  That takes a table of every unit's past (CUPED: Deng, Xu, Kohavi and Walker 2013).
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from bench.field.people import People, gather
from core.judging.model.evidence import BUCKETS
from core.store.observations.unit_caps import CAP_MINIMUM, CAP_MULTIPLE

Array = NDArray[np.float64]
SEED = 20261201
SIZES = (300, 1000, 3000, 6000)
PASTS = (4.0, 20.0)
SHARE, REQUESTS_IN_STAGE = 0.5, 5.0  # requests of a unit, on average
METRICS = ("eval_pass_rate", "refusal_rate", "cost_per_request")
JUDGED = 0.25
COST_VARIATION = 0.8  # of one person's requests


@dataclass(frozen=True, slots=True, kw_only=True)
class PastGain:
    """The variance that is left, of 1, for one metric on one surface."""

    metric: str
    units: int
    past: float
    by_bucket: float
    by_unit: float


def measure_gains(runs: int, sizes: tuple[int, ...] = SIZES) -> Iterator[PastGain]:
    """All metrics, sizes of surface and lengths of the past; `runs` stages each."""
    for number, units in enumerate(sizes):
        for past in PASTS:
            for metric in METRICS:
                chance = np.random.default_rng([SEED, number, round(past)])
                found = np.array([_play_stage(metric, units, past, chance) for _ in range(runs)])
                found = found[np.isfinite(found).all(axis=1)]  # an arm of a small surface may have no reading
                raw, by_bucket, by_unit = found.var(axis=0).tolist()
                yield PastGain(metric=metric, units=units, past=past, by_bucket=by_bucket / raw, by_unit=by_unit / raw)


def _play_stage(metric: str, units: int, before: float, chance: Generator) -> tuple[float, float, float]:
    """The difference of the arms without harm: as it is, less what buckets foretell, less what units foretell."""
    people = gather(units, chance, opted_in_quality=0.05)
    bucket, canary = chance.integers(0, BUCKETS, units), chance.random(units) < SHARE
    halves = [_ask(people, metric, before / 2, chance) for _ in range(2)]
    counts, values = _ask(people, metric, REQUESTS_IN_STAGE, chance)
    raw = _difference(counts, values, canary)
    levels = [_bucket_levels(bucket, *half) for half in halves]
    weights = np.bincount(bucket, halves[1][0], BUCKETS).astype(np.float64)
    coefficient = _slope(levels[0], levels[1], weights)
    past = halves[0][0] + halves[1][0], halves[0][1] + halves[1][1]
    # The whole past tells more than the half whose noise the slope knows: it deserves at least as much.
    foretold_by_bucket = coefficient * _bucket_levels(bucket, *past)[bucket]
    foretold_by_unit = _shrink(*past)
    return (
        raw,
        raw - _difference(counts, counts * foretold_by_bucket, canary),
        raw - _difference(counts, counts * foretold_by_unit, canary),
    )


def _ask(people: People, metric: str, requests: float, chance: Generator) -> tuple[Array, Array]:
    """(readings, sum of their values) of each unit."""
    units = len(people.activity)
    counts = chance.poisson(people.activity * units * requests)
    counts = np.minimum(counts, max(CAP_MINIMUM, CAP_MULTIPLE * counts.mean())).astype(np.int64)
    if metric == "eval_pass_rate":
        counts = chance.binomial(counts, JUDGED)
        return counts.astype(np.float64), chance.binomial(counts, people.quality).astype(np.float64)
    if metric == "refusal_rate":
        return counts.astype(np.float64), chance.binomial(counts, people.refused).astype(np.float64)
    spent = chance.gamma(np.maximum(counts, 1e-9) / COST_VARIATION**2, COST_VARIATION**2)
    return counts.astype(np.float64), spent * people.dear


def _difference(counts: Array, values: Array, canary: NDArray[np.bool_]) -> float:
    with np.errstate(invalid="ignore"):
        return float(values[canary].sum() / counts[canary].sum() - values[~canary].sum() / counts[~canary].sum())


def _bucket_levels(bucket: NDArray[np.int64], counts: Array, values: Array) -> Array:
    """Each bucket's level; that of all where a bucket has no reading."""
    weight, total = (np.bincount(bucket, each, BUCKETS) for each in (counts, values))
    everybody = float(values.sum() / counts.sum())
    return np.asarray(np.where(weight > 0, total / np.maximum(weight, 1.0), everybody), dtype=np.float64)


def _slope(x: Array, y: Array, weight: Array) -> float:
    """Slope of y on x, by weighted least squares; 0 where x does not vary."""
    dx, dy = x - np.average(x, weights=weight), y - np.average(y, weights=weight)
    spread = float((weight * dx**2).sum())
    return float((weight * dx * dy).sum()) / spread if spread > 0 else 0.0


def _shrink(counts: Array, values: Array) -> Array:
    """Each unit's level, drawn towards that of all by the noise of its readings (method of moments)."""
    everybody, seen = float(values.sum() / counts.sum()), counts > 0
    own = np.where(seen, values / np.maximum(counts, 1.0), everybody)
    spread = float(np.average((own[seen] - everybody) ** 2, weights=counts[seen]))
    often = seen & (counts >= 2)
    one = everybody * (1 - everybody) if everybody < 1 and float(own.max()) <= 1 else (COST_VARIATION * everybody) ** 2
    noise = one * float(seen.sum()) / float(counts.sum()) if often.any() else spread
    between = max(spread - noise, 0.0)
    return everybody + np.where(seen, between / (between + one / np.maximum(counts, 1.0)), 0.0) * (own - everybody)


def main() -> None:
    """A line for each metric, size and past."""
    for one in measure_gains(int(sys.argv[1])):
        print(
            f"| {one.metric} | {one.units:,} | {one.past:.0f} | {one.by_bucket:.3f} | {one.by_unit:.3f} |", flush=True
        )


if __name__ == "__main__":
    main()
