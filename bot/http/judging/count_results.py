"""Counts what a judge said as readings of the answers' own stage and arm, in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from bot.http.observations.build_placed import build_placed_observation
from bot.http.observations.parse_fields import RejectedItem
from bot.http.observations.read_batch import AcceptedItem, CheckedBatch
from core.flags.placement import MAX_LATENESS, Placement
from core.flags.snapshot import Snapshot, Variant
from core.metrics.catalogue import UNJUDGED
from core.metrics.observation import Observation
from core.rollout.judging.rubrics import find_criteria
from core.rollout.state.world import World
from core.shadow_eval.rubric import UnknownCriterion, read_scores
from core.shadow_eval.samples import ShadowSample
from core.store.shadow_eval import shadow_samples


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeResult:
    """What a judge said of one answer. `score` lies between 0 and 1, `cost` is in dollars; None if it gave none."""

    task: str
    judge: str
    passed: bool
    score: float | None = None
    criteria: Mapping[str, float | None] = field(default_factory=dict)  # name -> score; None: the judge cannot tell
    cost: float | None = None


def count_results(
    connection: Connection, results: Sequence[JudgeResult], world: World, snapshot: Snapshot, now: datetime
) -> CheckedBatch:
    """Record results in a writing transaction, and return what is to be counted.

    Rejected by index: a task that is unknown, judged already or expired, another judge than the answer was sampled
    for, a criterion that its rubric does not have, and answers of a stage that ended too long ago. A second opinion
    and an anchor are recorded and not counted, nor is what a judge says that has moved.
    """
    known = shadow_samples.find_samples(connection, [result.task for result in results])
    accepted: list[AcceptedItem] = []
    rejected: list[RejectedItem] = []
    for index, result in enumerate(results):
        sample = known.get(result.task)
        if sample is None:
            message = f'"{result.task[:80]}" is no task that waits: it is unknown, judged already, or has expired'
            rejected.append(RejectedItem(index=index, code="unknown_task", message=message))
            continue
        if sample.judge != result.judge:
            message = f'this answer is judged by "{sample.judge}", not by "{result.judge[:80]}"'
            rejected.append(RejectedItem(index=index, code="wrong_judge", message=message))
            continue
        try:
            scores = read_scores(find_criteria(world, sample.rollout), result.criteria)
        except UnknownCriterion as unknown:
            rejected.append(RejectedItem(index=index, code="unknown_criterion", message=str(unknown)))
            continue
        is_first = shadow_samples.record_result(connection, sample, result.passed, result.score, result.cost)
        del known[result.task]  # a task that comes twice in one batch is judged once
        counts = is_first and sample.anchor is None
        if counts and is_judge_doubted(world, sample.rollout):  # it was asked before its anchors showed that it moved
            accepted.append(AcceptedItem(index=index, surface=sample.surface, id=None, placed=None))
            continue
        placement = find_judged_placement(sample, snapshot, now) if counts else None
        if counts and placement is None:
            message = "the stage of this answer ended more than an hour ago and was judged without it"
            rejected.append(RejectedItem(index=index, code="too_old", message=message))
            continue
        placed = build_placed_observation(placement, _build_observation(sample, result, scores)) if placement else None
        accepted.append(AcceptedItem(index=index, surface=sample.surface, id=None, placed=placed))
    return CheckedBatch(accepted=accepted, rejected=rejected)


def is_judge_doubted(world: World, rollout_id: str) -> bool:
    """Whether anchors have shown that the judge of this rollout has moved."""
    rollout = world.find_rollout(rollout_id)
    return rollout is not None and rollout.judge_check.moved is not None


def find_judged_placement(sample: ShadowSample, snapshot: Snapshot, now: datetime) -> Placement | None:
    """Where the answer was served, if its stage still takes readings."""
    flags = snapshot.surfaces.get(sample.surface)
    tracked = next((t for t in flags.tracked if t.rollout == sample.rollout), None) if flags is not None else None
    span = next((s for s in reversed(tracked.spans) if s.index == sample.stage), None) if tracked is not None else None
    if tracked is None or span is None or (span.until is not None and now > span.until + MAX_LATENESS):
        return None
    return Placement(tracked=tracked, stage=sample.stage, arm=Variant(sample.arm), counts_for_split=False)


def _build_observation(sample: ShadowSample, result: JudgeResult, scores: Mapping[str, float]) -> Observation:
    readings = {"eval_pass_rate": float(result.passed), UNJUDGED: 0.0, **scores}
    if result.score is not None:
        readings["eval_score"] = result.score
    return Observation(
        surface=sample.surface,
        unit=sample.unit,
        at=sample.at,
        segments=sample.segments,
        readings=readings,
        is_request=False,
    )
