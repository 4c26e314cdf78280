"""A request for approval is answered, or asked for again."""

from core.rollout import commands as c
from core.rollout.context import Context, is_same_person
from core.rollout.decisions import approval_requests
from core.rollout.decisions.people import command_conditions
from core.rollout.refusal import Conflict, Refused
from core.rollout.state import events as e
from core.rollout.state.model import TERMINAL_STATES, Rollout, RolloutState


def approve_request(rollout: Rollout, command: c.Approve, context: Context) -> list[e.RolloutEvent]:
    """An approval of the open request; nothing if the same person has approved it before."""
    request, by = _require_open_request(rollout, command.request), context.by
    if any(is_same_person(a.by, by.id) for a in rollout.approvals):
        return []
    if approval_requests.is_approved(rollout):
        names = ", ".join(a.handle for a in rollout.approvals)
        raise Conflict(f"{names} already approved this. No further approval is needed.")
    if context.at > request.expires_at:
        raise Refused("This request has expired. Nothing was applied.", hint="A new request will appear in the thread.")
    return [e.Approved(request=request.request, by=by.id, handle=by.name, groups=by.groups, note=command.note.strip())]


def reject_request(rollout: Rollout, command: c.Reject, context: Context) -> list[e.RolloutEvent]:
    """A rejection, and what follows: a new request before the start, a hold afterwards."""
    request = _require_open_request(rollout, command.request)
    reason = command_conditions.require_reason(command.reason, "the rejection")
    rejected = e.Rejected(request=request.request, by=context.by.id, reason=reason)
    if rollout.state is RolloutState.PLANNED:
        new_request = approval_requests.build_approval_request(rollout, request.gate, request.needed, context)
        return [rejected, new_request]
    # Who rejected it and why is only in the rejection, where it is encrypted.
    held = e.Held(key=f"rejected:{request.request}", text=f"{request.gate} was rejected; the reason is in the thread")
    return [rejected, held]


def request_approval_again(rollout: Rollout, context: Context) -> list[e.RolloutEvent]:
    """A new request in place of the open one, so that it stands at the end of the thread and is mentioned again."""
    request = rollout.request
    if request is None:
        why = (
            "needs no approval now" if rollout.state not in TERMINAL_STATES else f"is {rollout.state.replace('_', ' ')}"
        )
        raise Refused(f"{rollout.id} {why}.", hint="It asks on its own before a step that needs one.")
    if approval_requests.is_approved(rollout):
        raise Refused(f"{rollout.id} is approved already.", hint=f"See /rollout status {rollout.id}.")
    if rollout.approvals:
        given = ", ".join(approval.handle for approval in rollout.approvals)
        raise Refused(
            f"{given} approved the open request already, and a new one would drop that.",
            hint="The request with its buttons is in the thread.",
        )
    return [
        approval_requests.build_approval_request(rollout, request.gate, request.needed, context, request.skipped or "")
    ]


def _require_open_request(rollout: Rollout, asked: str) -> e.ApprovalRequested:
    """The open approval request. Refused if there is none; Conflict if `asked` names another one."""
    request = rollout.request
    if request is None:
        if rollout.state in TERMINAL_STATES:
            raise Refused(f"{rollout.id} is {rollout.state.replace('_', ' ')}; there is nothing left to approve.")
        raise Refused(f"{rollout.id} is not waiting for an approval.", hint=f"See /rollout status {rollout.id}.")
    if asked and asked != request.request:
        raise Conflict(
            f"The plan or the evidence changed since this request ({asked} is now {request.request}). "
            "Nothing was applied.",
            hint="Look at the newest request in the thread.",
        )
    return request
