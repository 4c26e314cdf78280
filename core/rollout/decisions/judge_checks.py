"""What follows from what a judge says of its anchors: it is trusted, has moved, or is back."""

from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.evolve import evolve
from core.rollout.state.judge_check import JudgeCheck
from core.rollout.state.model import Rollout, RolloutState
from core.shadow_eval import find_drift


def record_anchors(rollout: Rollout, command: c.RecordAnchors, context: Context) -> list[e.RolloutEvent]:
    """The events of one round of anchors; none if it is known, or the rollout is over."""
    check = rollout.judge_check
    if not rollout.is_under_way or command.round != check.last_round + 1:
        return []
    events = _judge_round(check, command)
    for event in events:
        rollout = evolve(rollout, event, context.at)
    follows = find_consequences(rollout)
    return [*events, follows] if follows is not None else events


def record_cap(rollout: Rollout, command: c.RecordJudgingCap) -> list[e.RolloutEvent]:
    """That nothing more is judged, as it would cost more than it may; recorded once for each cap."""
    known = rollout.judging_cap_reached
    if not rollout.is_under_way or (known is not None and known.cap == command.cap):
        return []
    return [e.JudgingCapReached(spent=command.spent, cap=command.cap, judged=command.judged)]


def find_consequences(rollout: Rollout) -> e.Held | e.HoldCleared | None:
    """The hold that a judge that has moved calls for, or the end of that hold; None if everything is as it should."""
    moved = rollout.judge_check.moved
    if moved is None:
        held = rollout.hold is not None and rollout.hold.key.startswith(holds.JUDGE_MOVED)
        if rollout.state is RolloutState.ON_HOLD and rollout.hold is not None and held:
            return e.HoldCleared(key=rollout.hold.key)
        return None
    if rollout.state not in {RolloutState.RUNNING, RolloutState.WAITING}:
        return None
    of_before = "" if moved.judged_before == moved.judged else f" of {moved.judged_before}"
    text = (
        f"the judge moved: {moved.passes} of {moved.judged} anchors pass, "
        f"{moved.passes_before}{of_before} did at the start"
    )
    return e.Held(key=f"{holds.JUDGE_MOVED}{moved.round}", text=text)


def _judge_round(check: JudgeCheck, command: c.RecordAnchors) -> list[e.RolloutEvent]:
    complete = find_drift.is_complete(command.verdicts, command.anchors)
    rounds = (*check.rounds, command.verdicts)
    test = find_drift.compare_rounds(rounds) if complete and check.moved is None and check.rounds else None
    judged = e.AnchorsJudged(
        round=command.round,
        began_at=command.began_at,
        verdicts=command.verdicts,
        anchors=command.anchors,
        is_complete=complete,
        is_good=complete and check.moved is None and (test is None or test.is_good),
        p=test.p if test is not None else None,
        labels=command.labels,
    )
    if check.moved is not None and complete:
        since = (*check.since, command.verdicts)
        is_back = find_drift.is_back(check.before_it_moved, since)
        return [judged, e.JudgeSettled(round=command.round)] if is_back else [judged]
    if test is None or not test.is_moved(check.tests + 1):
        return [judged]
    passes, of = find_drift.count_passes(rounds[-1])
    passes_before, of_before = find_drift.count_passes(rounds[0])
    moved = e.JudgeMoved(
        round=command.round,
        passes=passes,
        judged=of,
        passes_before=passes_before,
        judged_before=of_before,
        p=test.p,
        since=check.trusted_at,
        set_aside=command.set_aside,
    )
    return [judged, moved]
