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
    """Whether the flag system has to be looked at after `event`: always after a rollback, which is to be observed."""
    wanted = desired(after)
    if wanted is None:
        return False
    return isinstance(event, e.RolledBack) or before is None or desired(before) != wanted


def others(rollout: Rollout, rollouts: Iterable[Rollout]) -> tuple[str, ...]:
    """Other rollouts under way that drive the same flag: only they decide on it where this one is over, and this one
    does not start beside them."""
    if rollout.plan.drives is None:
        return ()
    return tuple(r.id for r in rollouts if r.under_way and r.id != rollout.id and r.plan.drives == rollout.plan.drives)


def decide(rollout: Rollout, command: c.RecordFlag | c.RecordFlagTrouble) -> list[e.RolloutEvent]:
    """What was found at the flag system, where it still concerns what is decided now and is not known yet."""
    driven = rollout.plan.drives
    if driven is None or command.percent != desired(rollout):
        return []  # something else was decided meanwhile, and whoever sends that records it
    match command:
        case c.RecordFlag():
            known = rollout.flag is not None and rollout.flag.percent == command.percent
            if command.rolled_back != (rollout.state is State.ROLLED_BACK):
                return []
            if known and command.before == command.percent and not rollout.flag_trouble:
                return []
            found = e.FlagSet(
                flag=driven.title, percent=command.percent, before=command.before, seconds=command.seconds
            )
            return [found]
        case c.RecordFlagTrouble():
            told = bool(rollout.flag_trouble) and (command.trying or command.error == rollout.flag_trouble)
            if told:
                return []
            return [
                e.FlagNotSet(flag=driven.title, percent=command.percent, error=command.error, trying=command.trying)
            ]
