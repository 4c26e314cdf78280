"""How each stratum of a rollout is doing, each compared within itself, from the log."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from core.judging.model.judgement import Judgement
from core.judging.model.verdict import Measure, Verdict
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.serving import strata
from core.rollout.state.events import Event, EvidenceRecorded, StageEntered
from core.rollout.state.model import Rollout, RolloutState


class StratumState(StrEnum):
    """Where a stratum stands."""

    NOT_REACHED = "ahead"  # nobody in it has got the new version yet
    COMPARED = "compared"  # it is being compared now
    SERVED = "served"  # it keeps the new version
    BACK = "back"  # it was rolled back, alone or with everyone


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumVerdict:
    """A stratum, where it stands, and what the comparison within it says; the verdict is None without any.

    `name` is empty for everyone outside of the strata with a stage. `percent` of it have, or had, the new version.
    """

    name: str
    state: StratumState
    percent: float = 0.0
    canary_requests: int = 0
    control_requests: int = 0
    verdict: Verdict | None = None
    measures: tuple[Measure, ...] = ()


def build_verdicts(
    rollout: Rollout, events: Iterable[Event], newest: Judgement | None = None
) -> tuple[StratumVerdict, ...]:
    """The strata in order, and everyone else last. `events` are those of the rollout's history, `newest` is the newest
    judgement of the stage under way."""
    seen: dict[int, EvidenceRecorded | Judgement] = {}
    index = -1
    for event in events:
        if isinstance(event, StageEntered):
            index = event.index
        elif isinstance(event, EvidenceRecorded):
            seen[index] = event
    if newest is not None and rollout.is_under_way:
        seen[rollout.stage_index] = newest
    entered = [span.index for span in rollout.spans]
    # The newest stage of each audience; of one that was not reached, the first.
    stages = {stage.audience: i for i, stage in reversed([*enumerate(rollout.plan.stages)]) if stage.audience}
    stages |= {rollout.plan.stages[i].audience: i for i in entered if rollout.plan.stages[i].audience}
    rows = [_build(rollout, one.name, stages.get(one.name), seen) for one in strata.list_strata(rollout.plan)]
    return (*rows, _build_everyone_else(rollout, seen))


def _build(
    rollout: Rollout, name: str, index: int | None, seen: dict[int, EvidenceRecorded | Judgement]
) -> StratumVerdict:
    entered = {span.index for span in rollout.spans}
    everybody = _share_of_everybody(rollout)
    percent = everybody
    if index in entered and index is not None:
        percent = max(percent, rollout.plan.stages[index].percent)
    row = StratumVerdict(name=name, state=_find_state(rollout, name, index, percent), percent=percent)
    return _add_evidence(row, seen.get(index)) if index is not None else row


def _build_everyone_else(rollout: Rollout, seen: dict[int, EvidenceRecorded | Judgement]) -> StratumVerdict:
    percent = _share_of_everybody(rollout)
    reached = [i for i in seen if i >= 0 and _is_for_everybody(rollout.plan.stages[i])]
    row = StratumVerdict(name="", state=_find_state(rollout, "", None, percent), percent=percent)
    return _add_evidence(row, seen[max(reached)]) if reached else row


def _find_state(rollout: Rollout, name: str, index: int | None, percent: float) -> StratumState:
    if rollout.state is RolloutState.ROLLED_BACK or (name and strata.is_back(rollout, name)):
        return StratumState.BACK if percent else StratumState.NOT_REACHED
    if not percent:
        return StratumState.NOT_REACHED
    stage = rollout.stage
    if rollout.is_under_way and stage is not None and stage.is_compared:
        is_here = index == rollout.stage_index if index is not None else not name and _is_for_everybody(stage)
        return StratumState.COMPARED if is_here else StratumState.SERVED
    return StratumState.SERVED


def _share_of_everybody(rollout: Rollout) -> float:
    stages = [rollout.plan.stages[span.index] for span in rollout.spans]
    return max((stage.percent for stage in stages if _is_for_everybody(stage)), default=0.0)


def _is_for_everybody(stage: Stage) -> bool:
    return stage.has_exposure and stage.kind is not StageKind.COHORT


def _add_evidence(row: StratumVerdict, found: EvidenceRecorded | Judgement | None) -> StratumVerdict:
    if found is None:
        return row
    return replace(
        row,
        canary_requests=found.canary_requests,
        control_requests=found.control_requests,
        verdict=found.verdict,
        measures=found.measures,
    )
