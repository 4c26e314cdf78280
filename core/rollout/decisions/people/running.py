"""A rollout is started, paused and resumed."""

from datetime import timedelta

from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.decisions import approval_requests, growth_conditions, stage_changes, start_conditions
from core.rollout.decisions.people import blind_spots, command_conditions
from core.rollout.refusal import Refused
from core.rollout.serving import strata
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState

LONGEST_START_DELAY = timedelta(days=366)
EXTENDED_BY = 3  # longest holds that a stage gets on top: asked after 24 h, it is asked again after 96 h


def start_rollout(rollout: Rollout, command: c.Start, context: Context) -> list[e.RolloutEvent]:
    """A start now, at the time that the command names, or once the surface is free."""
    if rollout.started_at is not None:
        if rollout.is_under_way:
            return []
        raise Refused(
            f"{rollout.id} is {rollout.state.replace('_', ' ')}. To try again, plan a new rollout.",
            hint="Give the file another name in `rollout:` and apply it.",
        )
    if rollout.state is RolloutState.ABANDONED:
        raise Refused(f"{rollout.id} was abandoned.", hint="Apply its file again to plan it anew.")
    if command.then is not None:
        if command.then > context.at + LONGEST_START_DELAY:
            raise Refused("That is more than a year away.", hint="Apply the file again closer to the time.")
        earliest = start_conditions.find_earliest_start(rollout, context.at)
        start = max(command.then, context.at, earliest[0] if earliest else context.at)
        return [e.StartScheduled(start=start, by=context.by.id)]
    base = context.surface.live if context.surface is not None else ""
    queues = command.queue or context.policy.when_busy == "queue"
    waits = context.other_rollouts_on_surface or context.bundle_waits
    if waits and queues and base == rollout.plan.from_version:
        if rollout.start is not None and rollout.start <= context.at:
            return []
        return [e.StartScheduled(start=context.at, by=context.by.id)]  # it starts once the surface is free
    start_conditions.check_start(rollout, context)
    return stage_changes.begin_rollout(rollout, context)


def pause_rollout(rollout: Rollout, command: c.Pause, context: Context) -> list[e.RolloutEvent]:
    """A pause of what is under way."""
    command_conditions.require_under_way(rollout, "pause")
    if rollout.state is RolloutState.PAUSED:
        return []
    return [e.Paused(by=context.by.id, reason=command.reason.strip())]


def resume_rollout(rollout: Rollout, command: c.Resume, context: Context) -> list[e.RolloutEvent]:
    """The end of a pause, or of a hold, which needs a reason."""
    if rollout.state is RolloutState.RUNNING:
        return []
    if rollout.state is RolloutState.PAUSED:
        return [e.Resumed(by=context.by.id, reason=command.reason.strip())]
    if rollout.state is RolloutState.ON_HOLD:
        assert rollout.hold is not None
        if rollout.hold.key.startswith(holds.DECISION):
            raise Refused(
                f"The comparison of {rollout.id} is over and waits for a decision.",
                hint=f'/rollout decide {rollout.id} keep "why", or /rollout decide {rollout.id} back "why".',
            )
        if cause := holds.find_bundle_cause(rollout.hold.key):
            raise Refused(
                f"{rollout.id} holds because {rollout.hold.text}, and goes on with it.",
                hint=f'/rollout resume {cause} "why", or /rollout rollback {rollout.id}.',
            )
        reason = command_conditions.require_reason(command.reason, "resuming after a hold")
        resumed = e.Resumed(by=context.by.id, reason=reason, overrides=rollout.hold.key)
        if rollout.hold.key.startswith(strata.EMPTY_STAGE):
            return [resumed, *stage_changes.leave_stage(rollout, context, to=strata.find_stage_after(rollout))]
        if rollout.hold.key != holds.UNREAD and not rollout.hold.key.startswith(holds.UNDECIDED):
            return [resumed]
        spots = growth_conditions.find_blocking_blind_spots(
            rollout, growth_conditions.current_blind_spots(rollout), context.policy
        )
        if rollout.hold.key == holds.UNREAD:
            spots = growth_conditions.select_unread(spots)
        return (
            [resumed, blind_spots.build_accepted(rollout, reason, spots, context, lasting=True)] if spots else [resumed]
        )
    command_conditions.require_under_way(rollout, "resume")
    raise Refused(
        f"{rollout.id} is waiting for {approval_requests.describe_missing_approvals(rollout)}; it is not paused."
    )


def extend_stage(rollout: Rollout, context: Context) -> list[e.RolloutEvent]:
    """More time for a stage that is on hold because it could not be decided in time."""
    stage = rollout.stage
    if stage is None or rollout.hold is None or rollout.hold.key != growth_conditions.undecided_hold_key(stage):
        raise Refused(
            f"{rollout.id} is not on hold for lack of evidence, so there is nothing to extend.",
            hint=f"See /rollout status {rollout.id}.",
        )
    return [e.StageExtended(by=context.by.id, stage=rollout.stage_index, asked_at=find_extension(rollout))]


def find_extension(rollout: Rollout) -> timedelta:
    """How long the current stage will have held when a person is asked again, if one extends it now."""
    longest = rollout.current_stage.longest_hold
    return max(rollout.asked_after + longest, rollout.extended_to) + EXTENDED_BY * longest
