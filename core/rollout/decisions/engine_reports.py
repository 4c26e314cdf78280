"""What the program itself reports of a rollout: doubts, whether a rollback has arrived, what was posted."""

from core.rollout import commands as c
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import Rollout, RolloutState


def hold_for_doubted_evidence(rollout: Rollout, command: c.DoubtEvidence) -> list[e.RolloutEvent]:
    """A hold, because the evidence does not add up; none if nothing could grow."""
    if rollout.state not in {RolloutState.RUNNING, RolloutState.WAITING}:
        return []
    return [e.Held(key=holds.BROKEN, text=command.text)]


def hold_for_complaints(rollout: Rollout, command: c.DoubtComplaints) -> list[e.RolloutEvent]:
    """A hold, because of more complaints than is normal; none if nothing could grow, or a person has overridden it."""
    if rollout.state not in {RolloutState.RUNNING, RolloutState.WAITING} or holds.COMPLAINTS in rollout.overridden:
        return []
    return [e.Held(key=holds.COMPLAINTS, text=command.text)]


def confirm_flip(rollout: Rollout, command: c.ConfirmFlip) -> list[e.RolloutEvent]:
    """That every process serves the previous version after a rollback; nothing if that is known."""
    if command.stratum:
        back = rollout.strata_back.get(command.stratum)
        if back is None or back.flip is not None:
            return []
        return [
            e.FlipConfirmed(
                seconds=command.seconds,
                processes=command.processes,
                unheard=command.unheard,
                stratum=command.stratum,
            )
        ]
    if rollout.state is not RolloutState.ROLLED_BACK or rollout.flip is not None:
        return []
    return [e.FlipConfirmed(seconds=command.seconds, processes=command.processes, unheard=command.unheard)]


def doubt_flip(rollout: Rollout, command: c.DoubtFlip) -> list[e.RolloutEvent]:
    """That some process has not confirmed a rollback in time; recorded once."""
    if command.stratum:
        back = rollout.strata_back.get(command.stratum)
        if back is None or back.flip is not None or back.flip_doubted:
            return []
        return [e.FlipUnconfirmed(seconds=command.seconds, missing=command.missing, stratum=command.stratum)]
    if rollout.state is not RolloutState.ROLLED_BACK or rollout.flip is not None or rollout.flip_doubted:
        return []
    return [e.FlipUnconfirmed(seconds=command.seconds, missing=command.missing)]


def record_posted(command: c.RecordPosted) -> list[e.RolloutEvent]:
    """That a message is in Slack."""
    return [e.MessagePosted(key=command.key, channel=command.channel, ts=command.ts)]


def record_failed(command: c.RecordFailed) -> list[e.RolloutEvent]:
    """That a message could not be posted."""
    return [e.MessageFailed(key=command.key, channel=command.channel, error=command.error)]
