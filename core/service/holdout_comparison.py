"""What those who were held back after a rollout show against everybody else, by all that came in since its end."""

from dataclasses import replace
from datetime import datetime, timedelta

from core.judging.look import bucket_sums
from core.judging.look.look import Look, take_look
from core.judging.model.comparison import HoldoutComparison, HorizonComparison
from core.judging.model.evidence import CANARY, CONTROL, REQUESTS, EvidenceSums
from core.judging.model.question import Question, StageDesign
from core.judging.model.state import JudgingState
from core.judging.report import horizon
from core.rollout import commands as c
from core.rollout.judging.judging_question import build_question
from core.rollout.refusal import Conflict
from core.rollout.serving import holdout
from core.rollout.state.model import Rollout
from core.rollout.state.sources import longest_arrival
from core.service.service import RolloutService
from core.store.observations import observation_sums

NOTHING = HorizonComparison(advice="cannot tell", measures=())


def settle_due(service: RolloutService, now: datetime) -> None:
    """End every holdout whose time is over, and record the comparison of each that has ended; of several workers that
    get here at once, one does."""
    world = service.cached_world()
    for rollout in world.rollouts.values():
        if rollout.plan.holdout is None or rollout.completed_at is None:
            continue
        surface = world.surfaces[rollout.plan.surface]
        command: c.EngineCommand | None = None
        if holdout.find_due_cause(rollout, surface, world.policy, now):
            command = c.EndDueHoldout()
        elif holdout.is_comparison_due(rollout, longest_arrival(surface.sources or ()), now):
            command = c.RecordHoldout(found=compare(service, rollout, now))
        if command is None:
            continue
        command_id = f"holdout:{rollout.id}:{type(command).__name__}"
        try:
            service.handle_as_engine(command, command_id=command_id, at=now, rollout=rollout.id)
        except Conflict:
            continue  # another worker did it first


def compare(service: RolloutService, rollout: Rollout, at: datetime) -> HoldoutComparison:
    """The comparison by all that came in so far. ValueError if the rollout has not been done."""
    if rollout.completed_at is None:
        raise ValueError(f"{rollout.id} was not done")
    with service.database.reading() as connection:
        sums = observation_sums.load_sums(connection, rollout.id, segments=False)
    stage = holdout.stage_index(rollout.plan)
    question = _build_question(rollout, stage)
    look = take_look(question, sums, JudgingState(), at)
    found = _compare_at_end(rollout, question, look)
    return HoldoutComparison(
        since=rollout.completed_at,
        until=holdout.find_end(rollout) or at,
        advice=found.advice,
        measures=found.measures,
        new_requests=_count_requests(sums, stage, CANARY),
        held_requests=_count_requests(sums, stage, CONTROL),
        new_units=sums.first_exposures.get((stage, CANARY), 0),
        held_units=sums.first_exposures.get((stage, CONTROL), 0),
    )


def _build_question(rollout: Rollout, stage: int) -> Question:
    """The question of the rollout, with the time after its end as its last stage."""
    asked = build_question(rollout, timedelta(0))
    held = holdout.compute_held_ppm(rollout.plan) / 1_000_000
    after = StageDesign(
        index=stage, name=holdout.STAGE, compared=True, canary_share=1 - held, control_left=True, chosen=False
    )
    return replace(asked, stages=(*asked.stages, after), current=stage, cuts=())


def _compare_at_end(rollout: Rollout, question: Question, look: Look) -> HorizonComparison:
    """The metrics of the plan's limits and expectations of which both sides have readings, all at once."""
    known = {criterion.metric for criterion in question.criteria}
    metrics = []
    for metric in holdout.list_deciding_metrics(rollout.plan):
        if metric not in known:
            continue
        standing = look.find_comparison(question.comparison_cell(metric), question.current)
        if standing is not None and standing.canary is not None and standing.control is not None:
            metrics.append(metric)
    return horizon.compare_at_horizon(question, look, (), metrics) if metrics else NOTHING


def _count_requests(sums: EvidenceSums, stage: int, arm: str) -> int:
    return round(float(bucket_sums.read_bucket_sums(sums, (stage,), arm, REQUESTS)[..., 0].sum()))
