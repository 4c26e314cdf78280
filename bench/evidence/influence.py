"""What one unit, one in a hundred, or whoever holds a token for observations can bring about.

Run it with `python -m bench.evidence.influence RUNS`. People ask at a steady pace, some more than others; 300 are
served the new version and 5,700 the current one. Some lie: each answer of theirs is said to be refused, or never is.
The engine judges one limit, with intake's bound on one unit.
"""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from core.judging.judge import judge
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.look.look import take_look
from core.judging.model.evidence import BUCKETS, CANARY, CONTROL, EVERYONE, REQUESTS, BucketSums, CellKey, EvidenceSums
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import JudgingState
from core.stats.input_checks import Array
from core.store.observations.unit_caps import CAP_MINIMUM, CAP_MULTIPLE

Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
LOOKS, PER_LOOK, PEOPLE = 120, 333, 6000
TICK = timedelta(seconds=10)
START = datetime(2026, 11, 24, 9, tzinfo=UTC)
STAGE = StageDesign(index=0, name="canary", compared=True, canary_share=0.05, control_left=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Who lies and how. `times` is how often a liar asks beside others; `invented` come on top of the people."""

    name: str
    liars: int = 0
    times: float = 1.0
    refused: bool = True
    invented: bool = False
    in_control: bool = False
    harm: float = 0.02
    limit: float = 0.01


CASES = (
    Case(name="nobody lies"),
    Case(name="nobody lies; harm: 12 % refused instead of 2 %", harm=0.12),
    Case(name="one unit, as busy as others, all refused", liars=1),
    Case(name="one unit, 10 times as busy, all refused", liars=1, times=10),
    Case(name="one unit, 1,000 times as busy, all refused", liars=1, times=1000),
    Case(name="the same in control", liars=1, times=1000, in_control=True),
    Case(
        name="one unit, 1,000 times as busy, never refused; 12 % instead of 2 %",
        liars=1,
        times=1000,
        refused=False,
        harm=0.12,
    ),
    Case(name="1 % of the canary's units, as busy as others, all refused, limit 2 pp", liars=3, limit=0.02),
    Case(name="1 % of the canary's units, as busy as others, all refused, limit 1 pp", liars=3),
    Case(name="1 % of the canary's units, 10 times as busy, all refused, limit 2 pp", liars=3, times=10, limit=0.02),
    Case(
        name="1 % of the canary's units, 1,000 times as busy, never refused; 12 % instead of 2 %",
        liars=3,
        times=1000,
        refused=False,
        harm=0.12,
    ),
    Case(name="5 invented units, all refused", liars=5, invented=True),
    Case(name="20 invented units, all refused", liars=20, invented=True),
)


def main(runs: int) -> None:
    """A line of a table for each case."""
    print("| who | rolled back | cleared | looks until rolled back (median) |")
    print("|---|---|---|---|")
    for case in CASES:
        ends = [_run(case, seed) for seed in range(runs)]
        back = [looks for name, looks in ends if name == "roll_back"]
        cleared = sum(name == "cleared" for name, _ in ends)
        median = f"{np.median(back):.0f}" if back else ""
        print(f"| {case.name} | {len(back)} of {runs} | {cleared} of {runs} | {median} |", flush=True)


def _run(case: Case, seed: int) -> tuple[str, int]:
    """How it ended, and after how many looks."""
    chance = np.random.default_rng([20261128, seed])
    kind = LimitKind.RISES_BY
    limit = Limit(metric="refusal_rate", kind=kind, amount=case.limit, scale=LimitScale.POINTS, role=LimitRole.ROLLBACK)
    question = Question(limits=(limit,), stages=(STAGE,), current=0)
    people = PEOPLE + (case.liars if case.invented else 0)
    buckets = chance.integers(0, BUCKETS, people)
    canary = np.arange(people) < PEOPLE * 0.05
    pace = chance.gamma(2.0, 0.5, people)
    liars = np.zeros(people, dtype=bool)
    if case.invented:
        liars[PEOPLE:] = canary[PEOPLE:] = True
    else:
        liars[np.flatnonzero(~canary)[: case.liars] if case.in_control else np.arange(case.liars)] = True
    pace[liars] = 1.0
    rates = np.where(canary, case.harm, 0.02)
    rates[liars] = 1.0 if case.refused else 0.0
    pace = np.where(liars, case.times, 1.0) * pace * PER_LOOK / PEOPLE
    own, weight, value = np.zeros(people), np.zeros(people), np.zeros(people)
    state, at, ended = JudgingState(), START, "continue"
    for number in range(1, LOOKS + 1):
        sent = chance.poisson(pace)
        own, counted = _counted(own, sent)
        weight += counted
        value += chance.binomial(counted.astype(int), rates)
        at += TICK
        look = take_look(question, _sums(buckets, canary, weight, value), state, at)
        found = judge(question, look, state)
        state = found.state
        if found.verdict.name == "roll_back":
            return "roll_back", number
        if found.verdict.name == "cleared":
            ended = "cleared"
    return ended, LOOKS


def _counted(own: Array, sent: Ints) -> tuple[Array, Array]:
    """As intake bounds a unit, to a look: (what each has sent that counts so far, what of it is new)."""
    usual = CAP_MULTIPLE * (own.sum() + np.minimum(sent, CAP_MINIMUM).sum()) / max((own + sent > 0).sum(), 1)
    new = np.clip(np.maximum(usual, CAP_MINIMUM) - own, 0, sent)
    return own + np.floor(new), np.floor(new)


def _sums(buckets: Ints, canary: Flags, weight: Array, value: Array) -> EvidenceSums:
    cells: dict[CellKey, BucketSums] = {}
    units: dict[tuple[int, str], int] = {}
    for arm, inside in ((CANARY, canary), (CONTROL, ~canary)):
        w, v = (np.bincount(buckets[inside], each[inside], BUCKETS).astype(np.float64) for each in (weight, value))
        key = CellKey(stage=0, arm=arm, segment=EVERYONE, metric="refusal_rate")
        cells[key] = BucketSums(weight=w, value=v)
        cells[CellKey(stage=0, arm=arm, segment=EVERYONE, metric=REQUESTS)] = BucketSums(weight=w, value=w)
        units[0, arm] = int((weight[inside] > 0).sum())
    return EvidenceSums(cells=cells, first_exposures=units)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
