"""The flags and labels that a rollout drives: what each should be at, and which readings to record."""

from collections.abc import Iterable

from core.rollout import commands as c
from core.rollout.plans.driven_systems import EVERYONE
from core.rollout.plans.plan import DrivenFlag, StageKind
from core.rollout.state import events as e
from core.rollout.state.model import Rollout, RolloutState


def desired_percent(rollout: Rollout, driven: DrivenFlag) -> float | None:
    """What it should be at, 0 to 100; None if this rollout does not drive it (yet)."""
    if driven not in rollout.plan.driven or not rollout.spans:
        return None
    if driven.is_label and driven.moves == EVERYONE and rollout.strata_back and rollout.state is not RolloutState.DONE:
        return 0.0  # a label is for everyone, and some went back
    return driven.percent_at(rollout.percent)


def find_driven(rollout: Rollout, title: str) -> DrivenFlag | None:
    """What the rollout drives by this title; None if there is nothing."""
    return next((one for one in rollout.plan.driven if one.title == title), None)


def list_to_reconcile(event: e.RolloutEvent, before: Rollout | None, after: Rollout) -> tuple[int, ...]:
    """Which of the plan's flags and labels have to be reconciled after `event`, by their numbers in the plan.

    Those whose target changed; all of them after every rollback (which has to be observed) and in a drill; and one that
    was lowered by hand, when a person allows raising it.
    """
    return tuple(number for number, one in enumerate(after.plan.driven) if _should_reconcile(event, before, after, one))


def _should_reconcile(event: e.RolloutEvent, before: Rollout | None, after: Rollout, driven: DrivenFlag) -> bool:
    wanted = desired_percent(after, driven)
    if wanted is None:
        return False
    if isinstance(event, e.Resumed) and event.overrides == lowered_hold_key(after, driven):
        return True
    if is_drilling(after) and isinstance(event, e.StageEntered | e.Resumed):
        return True
    return isinstance(event, e.RolledBack) or before is None or desired_percent(before, driven) != wanted


def is_drilling(rollout: Rollout) -> bool:
    """Whether a rollback is being rehearsed. What is driven then takes part: it is written at 0 % and read back."""
    stage = rollout.stage
    if stage is None or stage.kind is not StageKind.ROLLBACK_DRILL or rollout.state is not RolloutState.RUNNING:
        return False
    seconds = rollout.drilled.get(rollout.stage_index)
    return seconds is None or (stage.drill_within is not None and seconds > stage.drill_within.total_seconds())


def has_answered_drill(rollout: Rollout, driven: DrivenFlag | None = None) -> bool:
    """Whether it was read back since the drill began; without `driven`, whether everything was that the plan drives."""
    asked = rollout.plan.driven if driven is None else (driven,)
    return not asked or (bool(rollout.spans) and all(one.title in rollout.spans[-1].read_back for one in asked))


def lowered_hold_key(rollout: Rollout, driven: DrivenFlag) -> str:
    """Key of the hold that begins when a person lowers it by hand. A resume overrides it for this stage only."""
    number = rollout.plan.driven.index(driven)
    return f"flag_lowered:{rollout.stage_index}" + (f":{number}" if number else "")


def is_lowered_by_hand(rollout: Rollout, driven: DrivenFlag, percent: float) -> bool:
    """Whether a person lowered it by hand below its last reading. It is not raised again without asking."""
    known = rollout.flags.get(driven.title)
    lower = known is not None and percent < known.percent
    return rollout.is_under_way and lower and lowered_hold_key(rollout, driven) not in rollout.overridden


def is_settled(rollout: Rollout, driven: DrivenFlag) -> bool:
    """Whether the last reading equals the target percentage."""
    known = rollout.flags.get(driven.title)
    return known is not None and known.percent == desired_percent(rollout, driven)


def list_unconfirmed(rollout: Rollout) -> tuple[str, ...]:
    """Titles of what was not read back at 0 % since the rollback."""
    known = rollout.flags
    return tuple(one.title for one in rollout.plan.driven if one.title not in known or known[one.title].percent != 0)


def slowest_seconds(rollout: Rollout) -> float:
    """Seconds after the decision until the last of the flags and labels was read back; 0 if none was."""
    return max((reading.seconds for reading in rollout.flags.values()), default=0.0)


def find_competing_rollouts(rollout: Rollout, driven: DrivenFlag, rollouts: Iterable[Rollout]) -> tuple[str, ...]:
    """Ids of other rollouts that drive the same thing and are under way, or ended later than this one.

    Once this rollout is over, only they decide about it; and while they are under way, it does not start.
    """
    if driven not in rollout.plan.driven:
        return ()
    same = (r for r in rollouts if r.id != rollout.id and driven.place in {one.place for one in r.plan.driven})
    return tuple(r.id for r in same if r.is_under_way or _has_ended_later(r, rollout))


def _has_ended_later(one: Rollout, other: Rollout) -> bool:
    if one.ended_at is None or other.ended_at is None or not one.spans:
        return False
    return one.ended_at > other.ended_at


def decide(rollout: Rollout, command: c.RecordFlag | c.RecordFlagTrouble | c.RecordFlagLowered) -> list[e.RolloutEvent]:
    """The events for a report about something that is driven; none if it is outdated or already known."""
    driven = find_driven(rollout, command.flag)
    if driven is None:
        return []
    match command:
        case c.RecordFlag():
            return _record_reading(rollout, driven, command)
        case c.RecordFlagTrouble():
            return _record_trouble(rollout, driven, command)
        case c.RecordFlagLowered():
            return _hold_lowered_flag(rollout, driven, command)


def _record_reading(rollout: Rollout, driven: DrivenFlag, command: c.RecordFlag) -> list[e.RolloutEvent]:
    if command.percent != desired_percent(rollout, driven) or command.rolled_back != (
        rollout.state is RolloutState.ROLLED_BACK
    ):
        return []  # outdated: the target has changed, and whoever sends the new one records it
    waits = is_drilling(rollout) and not has_answered_drill(rollout, driven)
    is_changed = command.before != command.percent or driven.title in rollout.flag_troubles
    if not waits and is_settled(rollout, driven) and not is_changed:
        return []
    return [e.FlagSet(flag=driven.title, percent=command.percent, before=command.before, seconds=command.seconds)]


def _record_trouble(rollout: Rollout, driven: DrivenFlag, command: c.RecordFlagTrouble) -> list[e.RolloutEvent]:
    known = rollout.flag_troubles.get(driven.title, "")
    is_known = bool(known) and (command.trying or command.error == known)
    if is_known or command.percent != desired_percent(rollout, driven):
        return []
    return [e.FlagNotSet(flag=driven.title, percent=command.percent, error=command.error, trying=command.trying)]


def _hold_lowered_flag(rollout: Rollout, driven: DrivenFlag, command: c.RecordFlagLowered) -> list[e.RolloutEvent]:
    if not is_lowered_by_hand(rollout, driven, command.percent) or rollout.state not in {
        RolloutState.RUNNING,
        RolloutState.WAITING,
    }:
        return []
    text = (
        f"somebody set {driven.title} to {command.percent:g} % by hand; resuming sets it to "
        f"{desired_percent(rollout, driven):g} % again"
    )
    return [e.Held(key=lowered_hold_key(rollout, driven), text=text)]
