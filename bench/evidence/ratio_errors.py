"""How often a range of a mean or a ratio of bucket sums leaves out the truth: by three errors.

Run it with `python -m bench.evidence.ratio_errors RUNS`. The worlds of `bench.calibration.levels`, without harm, after
sixty looks: the delta method linearises the residual of each bucket, the jackknife leaves out one bucket at a time, and
the linear error is widened by Student's t with as many degrees of freedom as busy buckets leave.
"""

import sys

import numpy as np

from bench.calibration.hashed import Sums
from bench.calibration.levels import BUCKETS, WORLDS, LevelWorld, serve_requests
from bench.measuring.contrasts import contrast
from bench.measuring.streams import Array
from core.stats.fixed_horizon.horizon import widen_for_few_degrees
from core.stats.sequential import mean

SEED = 20261202
LOOKS = 60
NORMAL, ALPHA = 1.96, 0.05


def measure_errors(world: LevelWorld, runs: int) -> tuple[Array, Array, Array, Array]:
    """(difference, its error by the delta method, by the jackknife, and widened), shape (runs,)."""
    sums, split = Sums(runs, 1), round(world.share * world.requests)
    for bucket, weight, value in serve_requests(world, runs, LOOKS, np.random.default_rng(SEED)):
        for arm, of in ((sums.canary, slice(0, split)), (sums.control, slice(split, world.requests))):
            place = (bucket[:, of] + BUCKETS * np.arange(runs)[:, np.newaxis]).ravel()
            for column, numbers in enumerate((weight[:, of], value[:, of])):
                arm[:, 0, :, column] += np.bincount(place, numbers.ravel(), runs * BUCKETS).reshape(runs, BUCKETS)
    difference, linear = contrast(sums.canary, sums.control)
    left = [arm.sum(axis=2) - arm[:, 0] for arm in (sums.canary, sums.control)]
    without = left[0][..., 1] / left[0][..., 0] - left[1][..., 1] / left[1][..., 0]
    spread = ((without - without.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    degrees = mean.stratify_levels(sums.canary, sums.control).degrees_of_freedom()
    widened = linear * [widen_for_few_degrees(one, alpha=ALPHA) for one in degrees.tolist()]
    return difference, linear, np.sqrt((BUCKETS - 1) / BUCKETS * spread), widened


def main() -> None:
    """A line for each world."""
    for world in WORLDS:
        difference, *errors = measure_errors(world, int(sys.argv[1]))
        outside = " | ".join(f"{(np.abs(difference / error) > NORMAL).mean():.3f}" for error in errors)
        print(f"| {world.name} | {outside} | {np.median(errors[2] / errors[0]):.2f} |", flush=True)


if __name__ == "__main__":
    main()
