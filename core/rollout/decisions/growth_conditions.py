"""What a rollout needs before it grows: minimums, no doubt, no blind spot, no freeze and no quiet hours."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import assert_never

from core.judging.model import verdict as v
from core.judging.verdict import find_blind_spots
from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.plans.policy import GrowOn, Policy
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState

WEEK = timedelta(weeks=1)


def may_grow(rollout: Rollout, verdict: v.Verdict | None, policy: Policy) -> bool:
    """Whether the policy lets the rollout grow on this verdict.

    Where it grows only on what is shown, every limit has to be shown to be kept, unless a person has overridden that.
    """
    stage = rollout.stage
    if policy.growth_rule_for(rollout.plan.risk) is not GrowOn.SHOWN or stage is None or not stage.is_compared:
        return True
    return isinstance(verdict, v.Cleared) or undecided_hold_key(stage) in rollout.overridden


def find_pending(rollout: Rollout, look: c.LookResult | None) -> tuple[v.Finding, ...]:
    """Limits that are broken, though not yet for as long as their `for` asks, and that nobody has overridden.

    Whatever the risk, a rollout does not grow on what a look has found already.
    """
    found = look.judgement.pending if look is not None else ()
    return tuple(one for one in found if holds.hold_key(one) not in rollout.overridden)


def find_blocking_blind_spots(
    rollout: Rollout, blind: Sequence[v.BlindSpot], policy: Policy, to: Stage | None = None
) -> tuple[v.BlindSpot, ...]:
    """The blind spots that keep the stage from being left and that nobody has accepted.

    A limit that was never read always does. Where the policy grows on what is noticeable, so does every other one;
    except in a cohort, whose few people can hardly show anything, if the next stage (or `to`, the one jumped to) is
    compared with a control.
    """
    stage = rollout.stage
    left = tuple(
        spot
        for spot in blind
        if spot.key not in rollout.accepted_limit_keys and (spot.unread or spot.key not in rollout.sighted)
    )
    if stage is None or not stage.has_exposure:
        return ()
    following = to or rollout.next_stage
    asked_later = stage.kind is StageKind.COHORT and following is not None and following.is_compared
    seen = policy.growth_rule_for(rollout.plan.risk) is GrowOn.NOTICEABLE and stage.is_compared
    if seen and not asked_later and undecided_hold_key(stage) not in rollout.overridden:
        return left
    return select_unread(left)


def select_unread(blind: Sequence[v.BlindSpot]) -> tuple[v.BlindSpot, ...]:
    """The blind spots for which no reading ever arrived."""
    return tuple(spot for spot in blind if spot.unread)


def current_blind_spots(rollout: Rollout) -> tuple[v.BlindSpot, ...]:
    """The blind spots in the last evidence of the current stage; all rollback limits if there is no evidence yet."""
    at, since = rollout.evidence_at, rollout.stage_since
    if rollout.evidence is None or at is None or since is None or at < since:
        return find_blind_spots.blind_spots_before_data(rollout.plan.limits)
    return rollout.evidence.blind or ()


def is_comparison_due(rollout: Rollout, canary_requests: int, at: datetime) -> bool:
    """Whether a long comparison is over at `at` and its result is not recorded yet.

    It is over after its length. Where it lacks its sample then, it goes on, for whole weeks if it was planned in weeks,
    to its longest hold at most. All this is fixed before the start and does not depend on the outcome.
    """
    stage = rollout.stage
    if stage is None or not stage.is_decided_at_end or rollout.stage_index in rollout.comparisons:
        return False
    held = rollout.held_for(at)
    if rollout.state is not RolloutState.RUNNING or held < stage.min_hold:
        return False
    if stage.min_hold % WEEK == timedelta(0) and (held - stage.min_hold) % WEEK >= timedelta(days=1):
        return held >= stage.longest_hold
    return canary_requests >= stage.min_samples or held >= stage.longest_hold


def undecided_hold_key(stage: Stage) -> str:
    """Key of the hold of a stage that could not be decided in time."""
    return f"{holds.UNDECIDED}{stage.name}"


def find_growth_block(context: Context) -> str:
    """Why nothing may grow by itself now (a freeze or quiet hours); empty if it may."""
    return explain_freeze(context) or ("quiet hours" if context.policy.is_quiet_for("advance", context.at) else "")


def explain_freeze(context: Context) -> str:
    """Which freeze keeps everything from growing now, even by hand; empty if there is none."""
    frozen = context.policy.find_freeze(context.at)
    return f"frozen until {context.format_time(frozen[1])}: {frozen[0]}" if frozen is not None else ""


def is_ready_to_leave(rollout: Rollout, look: c.LookResult | None, at: datetime, policy: Policy) -> bool:
    """Whether the current stage may be left: the minimums are met, the policy lets it grow, and no blind spot keeps
    it."""
    if not meets_stage_minimums(rollout, look, at):
        return False
    if look is None:
        return True
    if look.unwatched:
        return False
    return may_grow(rollout, look.verdict, policy) and not find_blocking_blind_spots(rollout, look.blind, policy)


def meets_stage_minimums(rollout: Rollout, look: c.LookResult | None, at: datetime) -> bool:
    """Whether the stage has held long enough, has enough requests, and nothing speaks against leaving it."""
    stage = rollout.current_stage
    if rollout.held_for(at) < stage.min_hold:
        return False
    if look is None:
        return not stage.has_exposure
    if look.stage_requests < stage.min_samples or find_pending(rollout, look):
        return False
    match look.verdict:
        case v.TooEarly():
            return False
        case v.NoData() | v.Skewed() | v.BrokenSource() as unknown:
            return holds.hold_key(unknown) in rollout.overridden
        case v.Continue() | v.NoControl() | v.Cleared() | v.Hold() | v.RollBack():
            return True
        case _:
            assert_never(look.verdict)
