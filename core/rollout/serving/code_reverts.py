"""Reverting code after its flag is off: what is asked of which system, and what is not undone yet."""

from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state.model import Rollout, RolloutState


def is_code_pending(rollout: Rollout) -> bool:
    """Whether the rollout was rolled back and its code is not known to be reverted."""
    return bool(rollout.plan.reverts) and rollout.rollback is not None and rollout.code_reverted is None


def list_open_reverts(rollout: Rollout) -> tuple[int, ...]:
    """Indices of the plan's reverts that were not requested yet."""
    if not is_code_pending(rollout):
        return ()
    return tuple(index for index, _ in enumerate(rollout.plan.reverts or ()) if index not in rollout.reverts_requested)


def decide(rollout: Rollout, command: c.RecordRevert | c.RecordRevertTrouble) -> list[e.RolloutEvent]:
    """The events for a report about a revert; none if it is outdated or already known."""
    if command.index not in list_open_reverts(rollout) or rollout.plan.reverts is None:
        return []
    title = rollout.plan.reverts[command.index].title
    match command:
        case c.RecordRevert():
            return [
                e.RevertRequested(
                    index=command.index, system=title, reference=command.reference, seconds=command.seconds
                )
            ]
        case c.RecordRevertTrouble():
            if rollout.revert_trouble.get(command.index) == command.error:
                return []
            return [e.RevertNotRequested(index=command.index, system=title, error=command.error, trying=command.trying)]


def confirm(rollout: Rollout, command: c.ConfirmReverted, context: Context) -> list[e.RolloutEvent]:
    """The event by which a person or a pipeline says that the code is reverted."""
    if not rollout.plan.reverts:
        raise Refused(f"{rollout.id} ships no code that would have to be reverted.", hint="See `reverts` in its file.")
    if rollout.code_reverted is not None:
        return []
    if rollout.state is not RolloutState.ROLLED_BACK:
        raise Refused(
            f"{rollout.id} was not rolled back, so its code is in use.",
            hint=f"Roll back first: /rollout rollback {rollout.id}.",
        )
    return [e.CodeReverted(by=context.by.id, note=command.note.strip())]
