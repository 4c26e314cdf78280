"""What each button and each submitted modal asks for: the pressed value becomes a command."""

from datetime import datetime

from bot.commands.request import Asked
from bot.rendering.blocks import buttons
from core.rollout import commands as c
from core.rollout.decider import decide
from core.rollout.model import Rollout, State
from core.rollout.refusal import NotFound
from core.service import Request, context

FORWARD = frozenset({buttons.APPROVE, buttons.REJECT, buttons.RESUME, buttons.START_THEN})
FRESH = frozenset({buttons.APPROVE, buttons.REJECT})
DIRECT = (
    buttons.APPROVE,
    buttons.PAUSE,
    buttons.RESUME,
    buttons.ROLL_BACK,
    buttons.GOT_IT,
    buttons.FEELS_OFF,
    buttons.START_THEN,
)


def command(action: str, pressed: str) -> tuple[str, c.PersonsCommand]:
    """(rollout, command) of a button that asks for nothing more."""
    rollout, detail = buttons.opened(pressed)
    return rollout, _direct(action, detail)


def _direct(action: str, detail: str) -> c.PersonsCommand:
    match action:
        case buttons.APPROVE:
            return c.Approve(request=detail)
        case buttons.PAUSE:
            return c.Pause()
        case buttons.RESUME:
            return c.Resume()
        case buttons.ROLL_BACK:
            return c.RollBack()
        case buttons.GOT_IT:
            return c.AcknowledgeNotice(notice=detail)
        case buttons.FEELS_OFF:
            return c.FeelsOff()
        case buttons.START_THEN:
            return c.Start(then=datetime.fromisoformat(detail))
    raise AssertionError(f"{action} is not a button")


def with_reason(action: str, pressed: str, reason: str) -> tuple[str, c.PersonsCommand]:
    """(rollout, command) of a modal that was submitted."""
    rollout, detail = buttons.opened(pressed)
    match action:
        case buttons.REJECT:
            return rollout, c.Reject(request=detail, reason=reason)
        case buttons.RESUME:
            return rollout, c.Resume(reason=reason)
        case buttons.CONCERN:
            return rollout, c.RaiseConcern(notice=detail, text=reason)
    raise AssertionError(f"{action} is not a modal")


def needs_reason(action: str, pressed: str, asked: Asked) -> bool:
    """Whether a modal opens first."""
    if action in {buttons.REJECT, buttons.CONCERN}:
        return True
    return action == buttons.RESUME and _rollout(pressed, asked).state is State.ON_HOLD


def would_be_refused(action: str, pressed: str, asked: Asked) -> None:
    """Raise `Refused` before anybody is asked to write a reason in vain. Changes nothing."""
    rollout = _rollout(pressed, asked)
    _, wanted = with_reason(action, pressed, "…")
    request = Request(command=wanted, command_id=asked.command_id, by=asked.by, at=asked.at, rollout=rollout.id)
    decide(rollout, wanted, context(asked.service.peek(), request, rollout.plan.surface, rollout))


def _rollout(pressed: str, asked: Asked) -> Rollout:
    name, _ = buttons.opened(pressed)
    found = asked.service.world().find(name)
    if found is None:
        raise NotFound(f"There is no {name}.", hint="See /rollout list.")
    return found
