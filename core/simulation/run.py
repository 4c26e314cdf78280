"""Simulate one rollout: the plan, stage by stage, judged by the real engine, until it ends or is rolled back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from core.judging.judge import judge
from core.judging.look import mean_caps
from core.judging.look.look import Look, take_look
from core.judging.model.judgement import Judgement
from core.judging.model.question import Question
from core.judging.model.state import JudgingState
from core.judging.model.verdict import RollBack
from core.judging.verdict import find_blind_spots
from core.rollout import commands as c
from core.rollout.decisions import growth_conditions
from core.rollout.decisions.growth_conditions import is_ready_to_leave
from core.rollout.judging.judging_question import build_question
from core.rollout.plans.plan import Plan, Stage
from core.rollout.plans.policy import DEFAULT_POLICY, Policy
from core.rollout.state import holds
from core.rollout.state.events import BlindSpotsAccepted
from core.rollout.state.model import Rollout, RolloutState, StageSpan
from core.simulation.population import Population
from core.simulation.tally import Tally

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
TICK = timedelta(seconds=10)
"""Shortest time between looks; a real rollout is looked at this often throughout."""
MIN_LOOKS = 6  # looks per stage at least


class TrafficSource(Protocol):
    """Source of simulated requests: synthetic or recorded traffic."""

    pace: float
    population: Population

    def enter_stage(self, index: int, stage: Stage, control: str) -> None:
        """Start a stage: assign the users to its arms."""

    def add_arrivals(self, tally: Tally, days: float) -> None:
        """Count in `tally` what comes in during this many days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedStop:
    """A rollback or a hold of a simulated run: the metric, the stage, and what had been exposed by then.

    `after` is the time since anybody was first served the new version.
    """

    metric: str
    after: timedelta
    stage: str
    users: int
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRun:
    """Result of one run.

    `held` is the first hold, which the simulation sets aside at once. `undecided` are the stages that reached their
    longest hold. `lasted` is the total time that anybody was served the new version.
    """

    rollback: SimulatedStop | None
    held: SimulatedStop | None
    undecided: tuple[str, ...]
    lasted: timedelta


def simulate_rollout(
    plan: Plan, source: TrafficSource, tally: Tally, *, looks: int, policy: Policy = DEFAULT_POLICY
) -> SimulatedRun:
    """Simulate the plan once.

    Offline gates count as passed, approvals as given, holds as set aside at once, blind spots at the longest hold as
    accepted, and a long comparison as decided for the new version at its horizon.
    """
    stages = [(index, stage) for index, stage in enumerate(plan.stages) if stage.has_exposure]
    each = max(MIN_LOOKS, round(looks / max(len(stages), 1)))
    rollout = _build_started_rollout(plan)
    memory = JudgingState()
    at = START
    held: SimulatedStop | None = None
    undecided: list[str] = []
    for index, stage in stages:
        rollout = replace(rollout, spans=(*rollout.spans, StageSpan(index=index, since=at)))
        source.enter_stage(index, stage, plan.control)
        began = at
        for after, last in schedule_looks(stage, source.pace, each):
            source.add_arrivals(tally, (began + after - at) / timedelta(days=1))
            at = began + after
            question = build_question(rollout, TICK)
            sums = tally.sums
            look = take_look(question, sums, memory, at)
            found = judge(question, look, memory)
            memory = found.state
            tally.caps = {**tally.caps, **mean_caps.freeze_caps(question, sums)}
            rollout = replace(rollout, caps=dict(tally.caps))
            if isinstance(found.verdict, RollBack):
                stop = _build_stop(found.verdict.findings[0].metric, at, stage, found)
                return SimulatedRun(rollback=stop, held=held, undecided=tuple(undecided), lasted=at - START)
            if (hold := holds.hold_for_verdict(rollout, found.verdict)) is not None and hold.key != holds.NO_DATA:
                rollout = replace(rollout, overridden=rollout.overridden | {hold.key})
                name = hold.findings[0].metric if hold.findings else hold.key
                held = held or _build_stop(name, at, stage, found)
            seen = build_look_result(found, question, look)
            rollout = replace(rollout, sighted=rollout.detectable_limit_keys(seen.blind))
            decided = growth_conditions.is_comparison_due(rollout, found.canary_requests, at)
            if decided or (not stage.is_decided_at_end and is_ready_to_leave(rollout, seen, at, policy)):
                break
            if last:
                undecided.append(stage.name)
                spots = growth_conditions.find_blocking_blind_spots(rollout, seen.blind, policy)
                accepted = BlindSpotsAccepted(by="", reason="", stage=stage.name, lasting=True, spots=spots)
                rollout = replace(rollout, accepted=(*rollout.accepted, accepted))
    return SimulatedRun(rollback=None, held=held, undecided=tuple(undecided), lasted=at - START)


def schedule_looks(stage: Stage, pace: float, looks: int) -> Iterator[tuple[timedelta, bool]]:
    """Yield (time since the stage began, whether it is the last) for the looks at a stage.

    Looks are denser at the beginning, where gross harm shows, and again right after the hold.
    """
    sampled = timedelta(days=stage.min_samples / (pace * stage.percent / 100)) if pace > 0 else timedelta(0)
    hold = max(stage.min_hold, min(sampled, stage.max_hold or sampled), TICK)
    longest = max(stage.longest_hold, hold)
    found: list[timedelta] = []
    for number in range(1, looks + 1):
        at = max(hold * (number / looks) ** 2, TICK * number)
        if at < hold:
            found.append(at)
    found.append(hold)
    # Right after the hold a stage often lacks only a few requests; a real one would move on seconds later.
    for number in range(1, looks + 1):
        at = min(hold + max((longest - hold) * (number / looks) ** 3, TICK * number), longest)
        if at > found[-1]:
            found.append(at)
    for at in found:
        yield at, at == found[-1]


def build_look_result(found: Judgement, question: Question, look: Look) -> c.LookResult:
    """Convert a judgement to the input of the rollout's decisions. Nothing is recorded, so its digests are empty."""
    return c.LookResult(
        judgement=found,
        first_look=0,
        last_look=0,
        state_before="",
        looks="",
        state_after="",
        blind=find_blind_spots.find_blind_spots(question, look, found.state),
    )


def _build_started_rollout(plan: Plan) -> Rollout:
    nothing: Mapping[str, str] = {}
    return Rollout(
        id="simulated",
        plan=plan,
        fingerprint="",
        from_content=nothing,
        to_content=nothing,
        state=RolloutState.RUNNING,
        planned_at=START,
        planned_by="",
        started_at=START,
    )


def _build_stop(metric: str, at: datetime, stage: Stage, found: Judgement) -> SimulatedStop:
    return SimulatedStop(
        metric=metric,
        after=at - START,
        stage=stage.name,
        users=found.exposed_units,
        requests=found.exposed_requests,
    )
