"""What the past says once everybody has the new version: how often it takes back no harm, and how soon it finds harm.

Run it with `python -m bench.evidence.past RUNS [SEED]`. The people of the field trial ask in sessions, with its robots
and busy accounts; half of them have the new version for a stage, then all. How busy a robot is changes from stage to
stage, and one in two runs has a bad minute of the provider, as in the field trial. Nothing is the version's doing until
everybody has it. The engine judges the field trial's limits, with intake's bound on one unit.
"""

import sys
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.field.people import People, gather
from core.judging.judge import judge
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.look.look import take_look
from core.judging.look.mean_caps import freeze_caps
from core.judging.model.evidence import (
    BUCKETS,
    CANARY,
    CONTROL,
    EVERYONE,
    REQUESTS,
    BucketSums,
    CellKey,
    EvidenceSums,
    capped_cell,
    exceedance_cell,
)
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import JudgingState
from core.judging.model.verdict import RollBack
from core.stats import quantile
from core.stats.input_checks import Array
from core.store.observations.unit_caps import CAP_MINIMUM, CAP_MULTIPLE

Ints: TypeAlias = NDArray[np.int64]
SEED = 20261130
TICK = timedelta(minutes=1)
START = datetime(2026, 11, 24, 9, tzinfo=UTC)
HALF = StageDesign(index=0, name="half", compared=True, canary_share=0.5, control_left=True)
EVERYBODY = StageDesign(index=1, name="everybody", compared=False, canary_share=1.0, control_left=False)
PAIRED_LOOKS, LOOKS = 6, 30
SESSION = 3.0  # requests, on average
JUDGED = 0.25  # of the answers


def _limit(metric: str, kind: LimitKind, amount: float, scale: LimitScale) -> Limit:
    return Limit(metric=metric, kind=kind, amount=amount, scale=scale, role=LimitRole.ROLLBACK)


LIMITS = (
    _limit("eval_pass_rate", LimitKind.DROPS_BY, 0.02, LimitScale.POINTS),
    _limit("refusal_rate", LimitKind.RISES_BY, 0.01, LimitScale.POINTS),
    _limit("hard_error_rate", LimitKind.RISES_BY, 0.005, LimitScale.POINTS),
    _limit("cost_per_request", LimitKind.RISES_BY, 0.15, LimitScale.RELATIVE),
    _limit("latency_p95", LimitKind.RISES_BY, 0.2, LimitScale.RELATIVE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What everybody meets once they have the new version: shifts of rates, and factors of amounts."""

    name: str
    passes: float = 0.0
    refuses: float = 0.0
    errors: float = 0.0
    cost: float = 1.0
    latency: float = 1.0
    tail: float = 0.0  # share of answers that take ten times as long


CASES = (
    Case(name="nothing is worse"),
    Case(name="quality -12 pp", passes=-0.12),
    Case(name="quality -6 pp", passes=-0.06),
    Case(name="refusals +6 pp", refuses=0.06),
    Case(name="refusals +3 pp", refuses=0.03),
    Case(name="errors +5 pp", errors=0.05),
    Case(name="errors +2 pp", errors=0.02),
    Case(name="cost x2", cost=2.0),
    Case(name="cost +50 %", cost=1.5),
    Case(name="slow answers 12 %", tail=0.12),
)


@dataclass(slots=True)
class _World:
    """People of one run, how much each has sent that counts, and the sums so far."""

    people: People
    chance: np.random.Generator
    activity: Array = field(init=False)
    buckets: Ints = field(init=False)
    canary: NDArray[np.bool_] = field(init=False)
    own: Array = field(init=False)
    caps: dict[str, float] = field(default_factory=dict)
    weights: dict[CellKey, Array] = field(default_factory=dict)
    values: dict[CellKey, Array] = field(default_factory=dict)
    histograms: dict[CellKey, Counter[int]] = field(default_factory=dict)
    exposures: dict[tuple[int, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = len(self.people.activity)
        self.buckets = self.chance.integers(0, BUCKETS, count)
        self.canary = self.chance.random(count) < 0.5
        self.enter()

    def enter(self) -> None:
        """A stage begins: nobody has sent anything in it, and robots are as busy as they happen to be."""
        restless = np.where(self.people.robot, self.chance.lognormal(0.0, 1.0, len(self.people.activity)), 1.0)
        self.activity = self.people.activity * restless
        self.activity /= self.activity.sum()
        self.own = np.zeros(len(self.activity))

    def serve(self, stage: StageDesign, requests: float, case: Case, *, incident: bool) -> None:
        """About so many requests in one look, as intake counts them; a tenth of them during an `incident`."""
        if incident:
            self._serve(stage, requests / 10, replace(case, errors=case.errors + 0.15, latency=3.0))
        self._serve(stage, requests * (0.9 if incident else 1.0), case)

    def _serve(self, stage: StageDesign, requests: float, case: Case) -> None:
        sessions = self.chance.poisson(requests / SESSION)
        begun = self.chance.choice(len(self.activity), sessions, p=self.activity)
        who = self._counted(np.repeat(begun, self.chance.geometric(1 / SESSION, sessions)))
        everybody = not stage.control_left
        new = np.ones(len(who), dtype=bool) if everybody else self.canary[who]
        for arm, inside in ((CANARY, new), (CONTROL, ~new)):
            self._add_requests(stage.index, arm, who[inside], case)
            units = self.own > 0
            self.exposures[stage.index, arm] = int(
                (units & (everybody | (self.canary if arm == CANARY else ~self.canary))).sum()
            )

    def _counted(self, who: Ints) -> Ints:
        """Those of the requests that count: a unit up to five times what is usual in the stage, and twenty."""
        sent = np.bincount(who, minlength=len(self.own))
        usual = CAP_MULTIPLE * (self.own + np.minimum(sent, CAP_MINIMUM)).sum() / max((self.own + sent > 0).sum(), 1)
        new = np.floor(np.clip(np.maximum(usual, CAP_MINIMUM) - self.own, 0, sent)).astype(np.int64)
        self.own += new
        return np.repeat(np.arange(len(self.own)), new)

    def _add_requests(self, stage: int, arm: str, who: Ints, case: Case) -> None:
        people, chance, n = self.people, self.chance, len(who)

        def key(metric: str) -> CellKey:
            return CellKey(stage=stage, arm=arm, segment=EVERYONE, metric=metric)

        self._add(key(REQUESTS), who, np.ones(n))
        failed = chance.random(n) < people.failing[who] + case.errors
        self._add(key("hard_error_rate"), who, failed)
        well, judged = who[~failed], who[~failed & (chance.random(n) < JUDGED)]
        self._add(key("refusal_rate"), well, chance.random(len(well)) < people.refused[well] + case.refuses)
        self._add(key("eval_pass_rate"), judged, chance.random(len(judged)) < people.quality[judged] + case.passes)
        cost = 0.014 * chance.lognormal(0.0, 0.6, len(well)) * people.dear[well] * case.cost
        self._add(key("cost_per_request"), well, cost)
        if (cap := self.caps.get("cost_per_request")) is not None:
            self._add(key(capped_cell("cost_per_request", cap)), well, np.minimum(cost, cap))
            self._add(key(exceedance_cell("cost_per_request", cap)), well, cost > cap)
        latency = 2000 * case.latency * chance.lognormal(0.0, 0.5, n) * people.slow[who]
        latency *= np.where(chance.random(n) < case.tail, 10.0, 1.0)
        self._add(key("latency_p95"), who, latency)
        for metric, values in (("cost_per_request", cost), ("latency_p95", latency)):
            self.histograms.setdefault(key(metric), Counter()).update(quantile.bin_index(x) for x in values)

    def _add(self, key: CellKey, who: Ints, value: Array | NDArray[np.bool_]) -> None:
        bucket, none = self.buckets[who], np.zeros(BUCKETS)
        self.weights[key] = self.weights.get(key, none) + np.bincount(bucket, minlength=BUCKETS)
        self.values[key] = self.values.get(key, none) + np.bincount(bucket, weights=value, minlength=BUCKETS)

    def sums(self) -> EvidenceSums:
        """The sums as the engine reads them."""
        return EvidenceSums(
            cells={key: BucketSums(weight=weight, value=self.values[key]) for key, weight in self.weights.items()},
            histograms=self.histograms,
            first_exposures=self.exposures,
        )


def play(case: Case, seed: int, number: int) -> tuple[int | None, str]:
    """(look at 100 % at which it was rolled back, by which metrics); (None, "") if it was not."""
    chance = np.random.default_rng([seed, number])
    people = gather(round(10 ** chance.uniform(2.3, 3.7)), chance, opted_in_quality=0.0)
    per_look = len(people.activity) * 10 ** chance.uniform(-1.5, 0.0)
    world, state, at = _World(people=people, chance=chance), JudgingState(), START
    incident = chance.integers(1, 2 * LOOKS)  # the look at 100 % in which it is; none at the later ones
    stages: tuple[StageDesign, ...] = ()
    for stage, looks, meets in ((HALF, PAIRED_LOOKS, CASES[0]), (EVERYBODY, LOOKS, case)):
        stages = (*stages, stage)
        world.enter()
        for look_number in range(1, looks + 1):
            world.serve(stage, per_look, meets, incident=stage is EVERYBODY and look_number == incident)
            at += TICK
            question = Question(limits=LIMITS, stages=stages, current=stage.index, caps=world.caps)
            found = judge(question, take_look(question, world.sums(), state, at), state)
            state = found.state
            if isinstance(found.verdict, RollBack):
                named = "+".join(one.metric for one in found.verdict.findings)
                return (look_number if stage is EVERYBODY else 0), named
            world.caps |= freeze_caps(question, world.sums())
    return None, ""


def main(runs: int, seed: int) -> None:
    """A line of a table for each case."""
    print("| once everybody has it | rolled back | looks until then (median; 30 if not) | by |")
    print("|---|---|---|---|")
    for case in CASES:
        ends = [play(case, seed, number) for number in range(runs)]
        ends = [one for one in ends if one[0] != 0]  # rolled back while there was a control: another test's matter
        back = [look for look, _ in ends if look is not None]
        median = np.median([LOOKS if look is None else look for look, _ in ends])
        by = ", ".join(f"{name} {count}" for name, count in Counter(name for _, name in ends if name).most_common(4))
        print(f"| {case.name} | {len(back)} of {len(ends)} | {median:.0f} | {by} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100, int(sys.argv[2]) if len(sys.argv) > 2 else SEED)
