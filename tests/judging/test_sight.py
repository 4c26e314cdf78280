"""Which limits are blind so far; and that harm is found as often as is said when they no longer are."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from core.files.foresight.known_traffic import KnownTraffic
from core.judging.judge import judge
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.judging.look import mean_caps
from core.judging.look.look import take_look
from core.judging.model.evidence import exceedance_thresholds
from core.judging.model.question import StageDesign
from core.judging.model.state import JudgingState
from core.judging.model.verdict import BlindSpot, RollBack
from core.judging.verdict import find_blind_spots
from core.metrics.catalogue import CATALOGUE
from core.rollout.judging.judging_question import build_question
from core.rollout.plans.plan import Approvals, Plan, Risk, Stage, StageKind
from core.rollout.state.model import Rollout, RolloutState, StageSpan
from core.simulation.harm import SimulatedHarm, build_harms
from core.simulation.population import draw_population
from core.simulation.run import START, TICK
from core.simulation.tally import Tally
from core.simulation.traffic import SyntheticTraffic
from tests.trials.length import pick

DAILY = 400_000.0


def limit_of(metric: str, kind: LimitKind, amount: float, scale: LimitScale, **more: object) -> Limit:
    return Limit(metric=metric, kind=kind, amount=amount, scale=scale, role=LimitRole.ROLLBACK, **more)  # type: ignore[arg-type]


PASSES = limit_of("eval_pass_rate", LimitKind.DROPS_BY, 0.02, LimitScale.POINTS)
REFUSALS = limit_of("refusal_rate", LimitKind.RISES_BY, 0.01, LimitScale.POINTS)
OTHERS = tuple(replace(REFUSALS, metric=metric) for metric in ("truncation_rate", "fallback_rate", "tool_error_rate"))
KINDS = {
    "a rate that falls": PASSES,
    "a rate that rises": REFUSALS,
    "a rare rate": limit_of("hard_error_rate", LimitKind.RISES_BY, 0.005, LimitScale.POINTS),
    "a rate for certain": replace(PASSES, amount=0.03, strict=True),
    "a fixed rate": limit_of("refusal_rate", LimitKind.EXCEEDS, 0.03, LimitScale.ABSOLUTE),
    "a mean": limit_of("cost_per_request", LimitKind.RISES_BY, 0.1, LimitScale.RELATIVE),
    "a quantile": limit_of("latency_p95", LimitKind.RISES_BY, 0.1, LimitScale.RELATIVE),
    "complaints": limit_of("complaint_rate", LimitKind.EXCEEDS_NORMAL_BY, 1.0, LimitScale.RELATIVE),
    "new errors": limit_of("new_error_category", LimitKind.RATE_ABOVE, 0.005, LimitScale.ABSOLUTE, min_events=5),
}

EACH = {
    "a rate that falls": 80,
    "a rate that rises": 20,
    "a rare rate": 30,
    "a rate for certain": 120,
    "a fixed rate": 15,
    "a mean": 8,
    "a quantile": 4,
    "complaints": 100,
    "new errors": 80,
}
"""Minutes between two looks, so that there are about ten."""
RUNS = pick(10, 30)
FOUND = pick((0.5, 1.0), (0.70, 0.97))  # shares that four in five rarely leaves in so many runs


class World:
    """One canary of 5 % without an end."""

    def __init__(
        self,
        limits: Sequence[Limit],
        seed: int,
        harm: SimulatedHarm | None = None,
        reported: Sequence[str] | None = None,
        daily: float = DAILY,
    ) -> None:
        long = timedelta(days=400)
        stage = Stage(kind=StageKind.CANARY, name="canary", percent=5, min_hold=long, max_hold=long)
        plan = Plan(
            name="tone",
            surface="support",
            owner="@dana",
            risk=Risk.STANDARD,
            template="prompt-standard",
            from_version="v1",
            to_version="v2",
            change={},
            stages=(stage,),
            approvals=Approvals(),
            limits=tuple(limits),
            notices=(),
        )
        chance = np.random.default_rng(seed)
        known = KnownTraffic(daily_requests=daily, pace_from="")
        metrics = [one.metric for one in limits] + ["hard_error_rate"] if reported is None else reported
        population = draw_population(daily, (), chance)
        self.source = SyntheticTraffic(
            known, [CATALOGUE[key] for key in CATALOGUE if key in metrics], population, harm, chance
        )
        self.source.enter_stage(0, stage, "concurrent")
        self.tally = Tally(population.profiles, exceedance_thresholds(plan.limits))
        self.rollout = Rollout(
            id="R-1",
            plan=plan,
            fingerprint="",
            from_content={},
            to_content={},
            state=RolloutState.RUNNING,
            planned_at=START,
            planned_by="",
            spans=(StageSpan(index=0, since=START),),
        )
        self.memory, self.at, self.rolled_back = JudgingState(), START, False

    def look(self, span: timedelta) -> tuple[BlindSpot, ...]:
        self.source.add_arrivals(self.tally, span / timedelta(days=1))
        self.at += span
        question, sums = build_question(self.rollout, TICK), self.tally.sums
        look = take_look(question, sums, self.memory, self.at)
        judgement = judge(question, look, self.memory)
        self.memory, self.question, self.newest = judgement.state, question, look
        self.tally.caps = {**self.tally.caps, **mean_caps.freeze_caps(question, sums)}
        self.rollout = replace(self.rollout, caps=dict(self.tally.caps))
        self.rolled_back = isinstance(judgement.verdict, RollBack)
        return find_blind_spots.find_blind_spots(question, look, judgement.state)


@pytest.mark.parametrize("kind", KINDS)
def test_when_a_limit_sees_harm_of_twice_its_size_is_found_about_four_times_in_five(kind: str) -> None:
    limit, each = KINDS[kind], timedelta(minutes=EACH[kind])
    limits = (limit, *OTHERS)
    (harm,) = build_harms((limit,), KnownTraffic(daily_requests=DAILY, pace_from=""))
    found = 0
    for seed in range(RUNS):
        world, blind = World(limits, 100 + seed, harm), True
        while blind and not world.rolled_back:
            blind = limit.metric in [spot.metric for spot in world.look(each)]
        found += world.rolled_back
    assert FOUND[0] <= found / RUNS <= FOUND[1], found


def test_a_limit_that_was_shown_to_hold_is_not_blind_before_its_test_would_have_found_twice_as_much() -> None:
    world, looks = World((PASSES, *OTHERS), 1), 1
    while 0 not in world.memory.kept:
        blind = [spot.metric for spot in world.look(timedelta(minutes=20))]
        looks += 1
    assert "eval_pass_rate" not in blind
    unshown = replace(world.memory, kept=())
    spots = find_blind_spots.find_blind_spots(world.question, world.newest, unshown)
    assert "eval_pass_rate" in [spot.metric for spot in spots]


def test_a_limit_that_cannot_have_seen_it_yet_says_what_it_takes_and_how_long() -> None:
    world = World((PASSES, *OTHERS), 1)
    world.look(timedelta(minutes=15))
    spots = {spot.metric: spot for spot in world.look(timedelta(minutes=15))}
    spot = spots["eval_pass_rate"]
    assert (spot.missed, spot.harm, spot.unread) == (0.04, "less", False)
    assert spot.readings < 200
    assert spot.needed is not None
    assert 1000 < spot.needed < 4000
    assert spot.more is not None
    pace = spot.readings / timedelta(minutes=15).total_seconds()  # since the first look
    assert spot.more.total_seconds() * pace == pytest.approx(spot.needed - spot.readings, rel=0.01)


def test_a_limit_of_which_no_reading_ever_arrived_is_named_as_unread() -> None:
    world = World((PASSES, REFUSALS), 1, reported=("refusal_rate",))
    spots = {spot.metric: spot for spot in world.look(timedelta(hours=12))}
    assert spots["eval_pass_rate"].unread
    assert "refusal_rate" not in spots


def test_no_complaint_and_no_new_error_is_data() -> None:
    limits = (KINDS["complaints"], KINDS["new errors"])
    spots = World(limits, 1, reported=("refusal_rate",)).look(timedelta(minutes=10))
    assert [(spot.metric, spot.unread) for spot in spots] == [("complaint_rate", False), ("new_error_category", False)]


def test_limits_that_do_not_roll_back_need_no_sight() -> None:
    limits = (replace(PASSES, role=LimitRole.HOLD), replace(REFUSALS, dry_run=True))
    assert World(limits, 1).look(timedelta(minutes=1)) == ()


def test_more_limits_need_more_readings() -> None:
    alone, among = World((PASSES,), 1), World((PASSES, *OTHERS), 1)
    needed = [world.look(timedelta(minutes=30))[0].needed or 0 for world in (alone, among)]
    assert needed[0] < needed[1]


def test_where_each_stage_has_had_only_one_arm_nothing_can_have_been_seen(world, traffic) -> None:  # type: ignore[no-untyped-def]
    """Few come: the canary's only requests in one stage, control's in the next. Nothing is compared across stages."""
    here = world((REFUSALS, KINDS["complaints"]))
    here.arm(2, "canary", np.arange(5), traffic())
    here.look()
    here.enter(StageDesign(index=3, name="10", compared=True, canary_share=0.1, control_left=True))
    here.arm(3, "control", np.arange(50), traffic())
    here.look()
    spots = find_blind_spots.find_blind_spots(here.question, here.looks[-1], here.state)
    assert [(spot.metric, spot.unread) for spot in spots] == [("refusal_rate", False), ("complaint_rate", False)]
