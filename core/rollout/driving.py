"""A flag system that a rollout drives: what its percentage should be now, and what is worth recording of it."""

from collections.abc import Iterable

from core.rollout import commands as c
from core.rollout import events as e
from core.rollout.model import Rollout, State


def desired(rollout: Rollout) -> float | None:
    """What the driven flag system should be at, 0 to 100; None where it is none of this rollout's business (yet)."""
    if rollout.plan.drives is None or not rollout.spans:
        return None
    return rollout.percent


def changed(event: e.RolloutEvent, before: Rollout | None, after: Rollout) -> bool:
    """Whether the flag system has to be looked at after `event`: always after a rollback, which is to be observed, and
    when somebody lets it be raised again."""
    wanted = desired(after)
    if wanted is None:
        return False
    if isinstance(event, e.Resumed) and event.overrides == lowered_key(after):
        return True
    return isinstance(event, e.RolledBack) or before is None or desired(before) != wanted


def lowered_key(rollout: Rollout) -> str:
    """The key of the hold that begins when somebody lowers the flag by hand; a resume sets it aside for this stage."""
    return f"flag_lowered:{rollout.stage_index}"


def is_lowered(rollout: Rollout, percent: float) -> bool:
    """Whether a person took the flag back by hand, which is then not raised without being asked: it only grows."""
    known = rollout.flag is not None and percent < rollout.flag.percent
    return rollout.under_way and known and lowered_key(rollout) not in rollout.overridden


def is_settled(rollout: Rollout) -> bool:
    """Whether the flag was read back at what is decided."""
    return rollout.flag is not None and rollout.flag.percent == desired(rollout)


def others(rollout: Rollout, rollouts: Iterable[Rollout]) -> tuple[str, ...]:
    """Other rollouts that drive the same flag and are under way, or ended later than this one: only they decide on it
    where this one is over, and this one does not start beside them."""
    if rollout.plan.drives is None:
        return ()
    same = (r for r in rollouts if r.id != rollout.id and r.plan.drives == rollout.plan.drives)
    return tuple(r.id for r in same if r.under_way or _ended_later(r, rollout))


def _ended_later(one: Rollout, other: Rollout) -> bool:
    if one.ended_at is None or other.ended_at is None or not one.spans:
        return False
    return one.ended_at > other.ended_at


def decide(rollout: Rollout, command: c.RecordFlag | c.RecordFlagTrouble | c.RecordFlagLowered) -> list[e.RolloutEvent]:
    """What was found at the flag system, where it still concerns what is decided now and is not known yet."""
    driven = rollout.plan.drives
    if driven is None:
        return []
    match command:
        case c.RecordFlag():
            return _found(rollout, driven.title, command)
        case c.RecordFlagTrouble():
            return _trouble(rollout, driven.title, command)
        case c.RecordFlagLowered():
            return _lowered(rollout, driven.title, command)


def _found(rollout: Rollout, flag: str, command: c.RecordFlag) -> list[e.RolloutEvent]:
    if command.percent != desired(rollout) or command.rolled_back != (rollout.state is State.ROLLED_BACK):
        return []  # something else was decided meanwhile, and whoever sends that records it
    if is_settled(rollout) and command.before == command.percent and not rollout.flag_trouble:
        return []
    return [e.FlagSet(flag=flag, percent=command.percent, before=command.before, seconds=command.seconds)]


def _trouble(rollout: Rollout, flag: str, command: c.RecordFlagTrouble) -> list[e.RolloutEvent]:
    told = bool(rollout.flag_trouble) and (command.trying or command.error == rollout.flag_trouble)
    if told or command.percent != desired(rollout):
        return []
    return [e.FlagNotSet(flag=flag, percent=command.percent, error=command.error, trying=command.trying)]


def _lowered(rollout: Rollout, flag: str, command: c.RecordFlagLowered) -> list[e.RolloutEvent]:
    if not is_lowered(rollout, command.percent) or rollout.state not in {State.RUNNING, State.WAITING}:
        return []
    text = f"somebody set {flag} to {command.percent:g} % by hand; resuming sets it to {desired(rollout):g} % again"
    return [e.Held(key=lowered_key(rollout), text=text)]
