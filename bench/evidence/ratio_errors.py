"""How far the linear error of a ratio of bucket sums is from the jackknife's and from the true spread.

Run it with `python -m bench.evidence.ratio_errors RUNS`. The ratios of `bench.calibration.levels`, without harm, after
sixty looks: the delta method linearises the residual of each bucket, the jackknife leaves out one bucket at a time.
"""

import sys

import numpy as np

from bench.calibration.hashed import Sums
from bench.calibration.levels import BUCKETS, WORLDS, LevelWorld, serve_requests
from bench.measuring.streams import Array
from core.stats.sequential import mean

SEED = 20261202
LOOKS = 60
NORMAL = 1.96


def measure_errors(world: LevelWorld, runs: int) -> tuple[Array, Array, Array]:
    """(difference, its error by the delta method, and by the jackknife), shape (runs,)."""
    sums, split = Sums(runs, 1), round(world.share * world.requests)
    for bucket, weight, value in serve_requests(world, runs, LOOKS, np.random.default_rng(SEED)):
        for arm, of in ((sums.canary, slice(0, split)), (sums.control, slice(split, world.requests))):
            place = (bucket[:, of] + BUCKETS * np.arange(runs)[:, np.newaxis]).ravel()
            for column, numbers in enumerate((weight[:, of], value[:, of])):
                arm[:, 0, :, column] += np.bincount(place, numbers.ravel(), runs * BUCKETS).reshape(runs, BUCKETS)
    difference, linear = mean.contrast(sums.canary, sums.control)
    left = [arm.sum(axis=2) - arm[:, 0] for arm in (sums.canary, sums.control)]
    without = left[0][..., 1] / left[0][..., 0] - left[1][..., 1] / left[1][..., 0]
    spread = ((without - without.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    return difference, linear, np.sqrt((BUCKETS - 1) / BUCKETS * spread)


def main() -> None:
    """A line for each ratio."""
    for world in WORLDS:
        if not world.is_ratio:
            continue
        difference, linear, jackknife = measure_errors(world, int(sys.argv[1]))
        outside = [float((np.abs(difference / error) > NORMAL).mean()) for error in (linear, jackknife)]
        print(
            f"| {world.name} | {np.median(linear / jackknife):.2f} | {np.quantile(linear / jackknife, 0.05):.2f} | "
            f"{outside[0]:.3f} | {outside[1]:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
