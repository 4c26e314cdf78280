"""The latest numbers of a rollout: from the last look while it is under way, from its last evidence afterwards."""

from dataclasses import dataclass, replace
from datetime import datetime

from core.judging.model.judgement import Judgement
from core.judging.model.verdict import Finding, Measure
from core.judging.report.power import Power, estimate_power
from core.rollout.judging import judging_question
from core.rollout.state.model import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestNumbers:
    """Measures, segments and notes at one moment; `at` is None if nothing was measured yet."""

    measures: tuple[Measure, ...]
    segments: tuple[Measure, ...]
    segments_checked: int
    notes: tuple[Finding, ...]
    at: datetime | None


def select_latest(rollout: Rollout, judgement: Judgement | None, at: datetime) -> LatestNumbers:
    """The numbers to show at `at`; `judgement` is that of the last look, at most one tick old."""
    if judgement is not None and rollout.is_under_way:
        return LatestNumbers(
            measures=judgement.measures,
            segments=judgement.segments,
            segments_checked=judgement.segments_checked,
            notes=judgement.notes,
            at=at,
        )
    recorded = rollout.evidence
    return LatestNumbers(
        measures=rollout.measures,
        segments=recorded.segments if recorded else (),
        segments_checked=recorded.segments_checked if recorded else 0,
        notes=recorded.notes if recorded else (),
        at=rollout.evidence_at,
    )


def detection_power(rollout: Rollout, measure: Measure, at: datetime | None) -> Power:
    """What a measure could have detected in the current stage by `at`; unknown before the first look."""
    stage, since = rollout.stage, rollout.stage_since
    if at is None or stage is None or since is None:
        return Power(noticeable=None, could_still_be=None, decided_in=None)
    share = judging_question.canary_share(rollout.plan, stage) or 0.0
    found = estimate_power(measure, rollout.plan.find_metric(measure.metric), canary_share=share, elapsed=at - since)
    # A rollout that has ended gets no more data, so there is no time to a decision.
    return found if rollout.is_under_way or not found.decided_in else replace(found, decided_in=None)
