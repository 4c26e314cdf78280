"""What ways back change in a rollout, and what is confirmed of them."""

from datetime import datetime
from typing import assert_never

from core.rollout.state import events as e
from core.rollout.state.evolving.endings import end_rollout
from core.rollout.state.fast_replace import replace
from core.rollout.state.model import Rollout, RolloutState, StratumRollback


def evolve_rollbacks(rollout: Rollout, event: e.RollbackEvent, at: datetime) -> Rollout:
    """The rollout after `event`, which happened at `at`."""
    match event:
        case e.RolledBack():
            return replace(
                end_rollout(rollout, RolloutState.ROLLED_BACK, at),
                rollback=event,
                flip=None,
                flip_doubted=False,
                conversations_moved_at=None,
                flags={},
                flag_troubles={},
            )
        case e.StratumRolledBack():
            return _set_stratum(rollout, event.stratum, StratumRollback(at=at))
        case e.FlipConfirmed():
            if event.stratum is None:
                return replace(rollout, flip=event)
            since = rollout.strata_back[event.stratum].at
            return _set_stratum(rollout, event.stratum, StratumRollback(at=since, flip=event))
        case e.FlipUnconfirmed():
            if event.stratum is None:
                return replace(rollout, flip_doubted=True)
            since = rollout.strata_back[event.stratum].at
            return _set_stratum(rollout, event.stratum, StratumRollback(at=since, flip_doubted=True))
        case e.UnitMovedBack():
            return replace(rollout, moved_back={**rollout.moved_back, event.unit_hash: at})
        case e.ConversationsMoved():
            moved = replace(rollout, conversations_moved_at=at)
            # Asked for by a person it is a switch of its own, to be confirmed; once due, nobody waits for it.
            return moved if event.is_due else replace(moved, flip=None, flip_doubted=False)
        case e.RollbackExplained():
            return replace(rollout, explanation=event)
        case e.RevertRequested():
            left = {index: error for index, error in rollout.revert_trouble.items() if index != event.index}
            requested = {**rollout.reverts_requested, event.index: event}
            return replace(rollout, reverts_requested=requested, revert_trouble=left)
        case e.RevertNotRequested():
            return replace(rollout, revert_trouble={**rollout.revert_trouble, event.index: event.error})
        case e.CodeReverted():
            return replace(rollout, code_reverted=event)
        case _:
            assert_never(event)


def _set_stratum(rollout: Rollout, stratum: str, back: StratumRollback) -> Rollout:
    return replace(rollout, strata_back={**rollout.strata_back, stratum: back})
