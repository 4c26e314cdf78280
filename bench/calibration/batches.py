"""Runs in batches that fit into a cache, with a seed for each, and a line that tells how far they are."""

import sys
from collections.abc import Callable, Iterator

import numpy as np


def batches(runs: int, size: int, *seed: int) -> Iterator[tuple[int, np.random.Generator]]:
    """The number of runs and the chance of every batch; the same seed and size give the same runs."""
    for number, first in enumerate(range(0, runs, size)):
        yield min(size, runs - first), np.random.default_rng([*seed, number])


def telling(name: str, runs: int) -> Callable[[int], None]:
    """A function that is told of finished runs and shows them, on a terminal only."""
    done = 0

    def tell(finished: int) -> None:
        nonlocal done
        done += finished
        if sys.stderr.isatty():
            end = "\r" if done < runs else "\r\033[K"
            print(f"  {name}: {done} of {runs} runs" if done < runs else "", end=end, file=sys.stderr, flush=True)

    return tell
