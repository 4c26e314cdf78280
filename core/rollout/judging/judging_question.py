"""The engine's question about a rollout: its limits, and the design of every stage it has entered."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from core.judging.limits.default_limits import Direction, ExpectedChange, derive_default_limits
from core.judging.model.question import Question, StageDesign
from core.rollout.plans.plan import Plan, Stage, StageKind
from core.rollout.state import holds
from core.rollout.state.model import Rollout
from core.rollout.state.sources import SourceTerms, longest_arrival, map_unknown_units

NO_DATA_AFTER = timedelta(minutes=15)
SEGMENTS_EVERY = timedelta(seconds=50)
"""Segments are judged about once a minute, or four times in a shorter stage: there are many, and they change slowly."""
_DIRECTIONS: Mapping[str, Direction] = {"up": "up", "down": "down", "same": "same"}


def build_question(rollout: Rollout, tick: timedelta, sources: Sequence[SourceTerms] = ()) -> Question:
    """The question for a look in the current stage. `tick` is the time between two looks.

    Silence counts as "no data" after 15 minutes; in a shorter stage after three times its hold, or after three ticks.
    Where they come from `sources` of the surface, as much longer as they may take to arrive.
    """
    entered = {span.index for span in rollout.spans}
    stages = tuple(
        _build_stage_design(rollout, index, stage)
        for index, stage in enumerate(rollout.plan.stages)
        if index in entered
    )
    plan = rollout.plan
    expectations = build_expectations(plan)
    hold = rollout.stage.min_hold if rollout.stage else timedelta(0)
    silence = min(NO_DATA_AFTER, max(3 * hold, 3 * tick))
    return Question(
        limits=plan.limits,
        implied=derive_default_limits(plan.limits, expectations, plan.metrics or ()),
        expectations=expectations,
        cuts=plan.segments,
        caps=agree_caps(rollout),
        stages=stages,
        current=rollout.stage_index,
        no_data_after=silence + longest_arrival(sources),
        segments_every=min(SEGMENTS_EVERY, hold / 4) if hold else SEGMENTS_EVERY,
        splits_set_aside=sum(holds.is_split_key(key) for key in rollout.overridden),
        unknown_units=map_unknown_units(sources),
    )


def agree_caps(rollout: Rollout) -> Mapping[str, float]:
    """The values at which readings of means are capped, by metric: those of the plan, and those frozen since."""
    agreed = {metric.key: metric.cap for metric in rollout.plan.metrics or () if metric.cap is not None}
    return {**agreed, **rollout.caps}


def build_expectations(plan: Plan) -> tuple[ExpectedChange, ...]:
    """The owner's expectations in the form the engine uses."""
    return tuple(
        ExpectedChange(metric=x.metric, direction=_DIRECTIONS[x.direction], low=x.low, high=x.high, points=x.points)
        for x in plan.expectations
    )


def canary_share(plan: Plan, stage: Stage) -> float | None:
    """The canary's share of the units in both arms of a stage; None if nobody gets the new version."""
    if not stage.has_exposure:
        return None
    return 0.5 if stage.has_matched_control(plan.control) else stage.percent / 100


def _build_stage_design(rollout: Rollout, index: int, stage: Stage) -> StageDesign:
    return StageDesign(
        index=index,
        name=stage.name,
        compared=stage.is_compared,
        canary_share=canary_share(rollout.plan, stage),
        control_left=stage.percent < 100 and stage.kind is not StageKind.BAKE,
        chosen=stage.kind is StageKind.COHORT,
        ends=_latest_end(rollout, stage) if index == rollout.stage_index else None,
    )


def _latest_end(rollout: Rollout, stage: Stage) -> datetime | None:
    """The latest time at which the current stage has to be decided, given the pauses so far; None before the start."""
    since = rollout.stage_since
    return None if since is None else since + stage.longest_hold + rollout.paused_for
