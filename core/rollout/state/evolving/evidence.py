"""What eval results, looks, comparisons and the judge's checks change in a rollout."""

from datetime import datetime
from typing import assert_never

from core.rollout.state import events as e
from core.rollout.state import judge_check
from core.rollout.state.evolving.endings import end_hold
from core.rollout.state.fast_replace import replace
from core.rollout.state.model import Rollout


def evolve_evidence(rollout: Rollout, event: e.EvidenceEvent, at: datetime) -> Rollout:
    """The rollout after `event`, which happened at `at`."""
    match event:
        case e.EvalRecorded():
            return replace(rollout, evals={**rollout.evals, event.stage: event})
        case e.EvidenceRecorded():
            return replace(
                rollout,
                evidence=event,
                evidence_at=at,
                measures=event.measures,
                sighted=rollout.detectable_limit_keys(event.blind or ()),
                summary_at=at if event.reason in {"summary", "step"} else rollout.summary_at,
            )
        case e.BlindSpotsAccepted():
            return replace(rollout, accepted=(*rollout.accepted, event))
        case e.TailsFrozen():
            return replace(rollout, caps={**rollout.caps, **event.caps})
        case e.ComparisonEnded():
            return replace(rollout, comparisons={**rollout.comparisons, event.stage: event})
        case e.ComparisonDecided():
            return replace(end_hold(rollout), decisions={**rollout.decisions, event.stage: event})
        case e.HoldoutEnded():
            return replace(rollout, holdout_ended=event, holdout_ended_at=at)
        case e.HoldoutCompared():
            return replace(rollout, holdout_result=event.found)
        case e.AnchorsJudged():
            return replace(rollout, judge_check=judge_check.apply_round(rollout.judge_check, event, at))
        case e.JudgeMoved():
            return replace(rollout, judge_check=judge_check.apply_moved(rollout.judge_check, event))
        case e.JudgeSettled():
            return replace(rollout, judge_check=judge_check.apply_settled(rollout.judge_check, at))
        case e.JudgingCapReached():
            return replace(rollout, judging_cap_reached=event)
        case _:
            assert_never(event)
