"""How soon anchors show that a judge has moved, by their number, and how often they say so of one that has not.

Run it with `python -m bench.evidence.judge_drift RUNS`. Three quarters of the anchors are good answers, of which the
judge passes 90 %; of the others it fails 85 %. From the fourth round on it is strict (70 % and 95 %), in twelve rounds.
Its verdicts are drawn anew in each round, or stay with the anchor and flip in 5 % of cases.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.shadow_eval import find_drift

ROUNDS, MOVES_AT = 12, 3
SENSITIVITY, SPECIFICITY = (0.9, 0.7), (0.85, 0.95)
FLIPS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCount:
    """Of `runs`, how many judges were found to have moved in time, and before they did; the median round it took."""

    runs: int
    found: int
    early: int
    rounds: float


def count_found(runs: int, anchors: int, *, moves: bool, sticky: bool) -> DriftCount:
    """Play so many judges with so many anchors. `sticky` verdicts stay with the anchor."""
    took: list[int] = []
    for seed in range(runs):
        chance = np.random.default_rng([seed, anchors, moves, sticky])
        rounds: list[find_drift.Verdicts] = []
        for number, passed in enumerate(_draw_rounds(chance, anchors, moves=moves, sticky=sticky)):
            rounds.append({str(anchor): bool(one) for anchor, one in enumerate(passed)})
            if number and find_drift.compare_rounds(rounds).is_moved(number):
                took.append(number - MOVES_AT + 1)
                break
    late = [one for one in took if one > 0]
    return DriftCount(
        runs=runs, found=len(late), early=len(took) - len(late), rounds=float(np.median(late)) if late else np.nan
    )


def _draw_rounds(
    chance: np.random.Generator, anchors: int, *, moves: bool, sticky: bool
) -> Iterator[NDArray[np.bool_]]:
    good = np.arange(anchors) < 3 * anchors // 4
    luck = chance.random(anchors)
    for number in range(ROUNDS):
        at = 1 if moves and number >= MOVES_AT else 0
        passes = np.where(good, SENSITIVITY[at], 1 - SPECIFICITY[at])
        if sticky:
            yield (luck < passes) ^ (chance.random(anchors) < FLIPS)
        else:
            yield chance.random(anchors) < passes


def main() -> None:
    """A table of both kinds of verdicts by the number of anchors."""
    runs = int(sys.argv[1])
    print("| Anchors | Verdicts | Found | Median rounds | Said of a judge that does not move |\n|---|---|---|---|---|")
    for anchors in (20, 40, 60, 100):
        for sticky in (False, True):
            moved = count_found(runs, anchors, moves=True, sticky=sticky)
            steady = count_found(runs, anchors, moves=False, sticky=sticky)
            kind = "stay, 5 % flip" if sticky else "drawn anew"
            false = steady.found + steady.early
            print(f"| {anchors} | {kind} | {moved.found} of {runs} | {moved.rounds:.0f} | {false} |", flush=True)


if __name__ == "__main__":
    main()
