"""The external flag system that a rollout drives: its target percentage, and which readings to record."""

from collections.abc import Iterable

from core.rollout import commands as c
from core.rollout.plans.plan import StageKind
from core.rollout.state import events as e
from core.rollout.state.model import Rollout, RolloutState


def desired_percent(rollout: Rollout) -> float | None:
    """The target percentage of the flag system, 0 to 100; None if this rollout does not drive it (yet)."""
    if rollout.plan.drives is None or not rollout.spans:
        return None
    return rollout.percent


def should_reconcile(event: e.RolloutEvent, before: Rollout | None, after: Rollout) -> bool:
    """Whether the flag system has to be reconciled after `event`.

    That is so if the target changed, after every rollback (which has to be observed), and when a person allows raising
    a flag that was lowered by hand.
    """
    wanted = desired_percent(after)
    if wanted is None:
        return False
    if isinstance(event, e.Resumed) and event.overrides == lowered_hold_key(after):
        return True
    if is_drilling(after) and isinstance(event, e.StageEntered | e.Resumed):
        return True
    return isinstance(event, e.RolledBack) or before is None or desired_percent(before) != wanted


def is_drilling(rollout: Rollout) -> bool:
    """Whether a rollback is being rehearsed. The flag system then takes part: it is written at 0 % and read back."""
    stage = rollout.stage
    if stage is None or stage.kind is not StageKind.ROLLBACK_DRILL or rollout.state is not RolloutState.RUNNING:
        return False
    seconds = rollout.drilled.get(rollout.stage_index)
    return seconds is None or (stage.drill_within is not None and seconds > stage.drill_within.total_seconds())


def has_answered_drill(rollout: Rollout) -> bool:
    """Whether the driven flag system, if there is one, was read back since the drill began."""
    return rollout.plan.drives is None or (bool(rollout.spans) and rollout.spans[-1].driven_since is not None)


def lowered_hold_key(rollout: Rollout) -> str:
    """Key of the hold that begins when a person lowers the flag by hand. A resume overrides it for this stage only."""
    return f"flag_lowered:{rollout.stage_index}"


def is_lowered_by_hand(rollout: Rollout, percent: float) -> bool:
    """Whether a person lowered the flag by hand below its last reading. It is not raised again without asking."""
    known = rollout.flag is not None and percent < rollout.flag.percent
    return rollout.is_under_way and known and lowered_hold_key(rollout) not in rollout.overridden


def is_settled(rollout: Rollout) -> bool:
    """Whether the last reading equals the target percentage."""
    return rollout.flag is not None and rollout.flag.percent == desired_percent(rollout)


def find_competing_rollouts(rollout: Rollout, rollouts: Iterable[Rollout]) -> tuple[str, ...]:
    """Ids of other rollouts that drive the same flag and are under way, or ended later than this one.

    Once this rollout is over, only they decide about the flag; and while they are under way, it does not start.
    """
    if rollout.plan.drives is None:
        return ()
    same = (r for r in rollouts if r.id != rollout.id and r.plan.drives == rollout.plan.drives)
    return tuple(r.id for r in same if r.is_under_way or _has_ended_later(r, rollout))


def _has_ended_later(one: Rollout, other: Rollout) -> bool:
    if one.ended_at is None or other.ended_at is None or not one.spans:
        return False
    return one.ended_at > other.ended_at


def decide(rollout: Rollout, command: c.RecordFlag | c.RecordFlagTrouble | c.RecordFlagLowered) -> list[e.RolloutEvent]:
    """The events for a report about the flag system; none if it is outdated or already known."""
    driven = rollout.plan.drives
    if driven is None:
        return []
    match command:
        case c.RecordFlag():
            return _record_reading(rollout, driven.title, command)
        case c.RecordFlagTrouble():
            return _record_trouble(rollout, driven.title, command)
        case c.RecordFlagLowered():
            return _hold_lowered_flag(rollout, driven.title, command)


def _record_reading(rollout: Rollout, flag: str, command: c.RecordFlag) -> list[e.RolloutEvent]:
    if command.percent != desired_percent(rollout) or command.rolled_back != (
        rollout.state is RolloutState.ROLLED_BACK
    ):
        return []  # outdated: the target has changed, and whoever sends the new one records it
    waits = is_drilling(rollout) and not has_answered_drill(rollout)
    if not waits and is_settled(rollout) and command.before == command.percent and not rollout.flag_trouble:
        return []
    return [e.FlagSet(flag=flag, percent=command.percent, before=command.before, seconds=command.seconds)]


def _record_trouble(rollout: Rollout, flag: str, command: c.RecordFlagTrouble) -> list[e.RolloutEvent]:
    is_known = bool(rollout.flag_trouble) and (command.trying or command.error == rollout.flag_trouble)
    if is_known or command.percent != desired_percent(rollout):
        return []
    return [e.FlagNotSet(flag=flag, percent=command.percent, error=command.error, trying=command.trying)]


def _hold_lowered_flag(rollout: Rollout, flag: str, command: c.RecordFlagLowered) -> list[e.RolloutEvent]:
    if not is_lowered_by_hand(rollout, command.percent) or rollout.state not in {
        RolloutState.RUNNING,
        RolloutState.WAITING,
    }:
        return []
    text = (
        f"somebody set {flag} to {command.percent:g} % by hand; resuming sets it to {desired_percent(rollout):g} % "
        "again"
    )
    return [e.Held(key=lowered_hold_key(rollout), text=text)]
