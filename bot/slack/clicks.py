"""Turns a pressed button or a submitted modal into a command."""

from collections.abc import Mapping
from datetime import datetime

from bot.commands.request import Asked
from bot.commands.verbs import Arguments, build_command
from bot.rendering.blocks import buttons
from core.rollout import commands as c
from core.rollout.model import Rollout, State
from core.rollout.refusal import NotFound
from core.service import Request

VERBS: Mapping[str, str] = {
    buttons.APPROVE: "approve",
    buttons.REJECT: "reject",
    buttons.PAUSE: "pause",
    buttons.RESUME: "resume",
    buttons.ROLL_BACK: "rollback",
    buttons.GOT_IT: "acknowledge",
    buttons.CONCERN: "concern",
    buttons.FEELS_OFF: "feels-off",
    buttons.START_THEN: "start",
}
"""Buttons by action id, each with its verb."""


def command(action: str, pressed: str, reason: str = "") -> tuple[str, c.PersonsCommand]:
    """(rollout id, command) of a pressed button, or of its modal with the `reason` that was entered."""
    rollout, detail = buttons.opened(pressed)
    arguments = Arguments(
        reason=reason,
        request=detail if action in (buttons.APPROVE, buttons.REJECT) else "",
        notice=detail if action in (buttons.GOT_IT, buttons.CONCERN) else "",
        then=datetime.fromisoformat(detail) if action == buttons.START_THEN else None,
    )
    return rollout, build_command(VERBS[action], arguments)


def needs_reason(action: str, pressed: str, asked: Asked) -> bool:
    """Whether the button first opens a modal that asks for a reason."""
    if action in {buttons.REJECT, buttons.CONCERN}:
        return True
    return action == buttons.RESUME and _rollout(pressed, asked).state is State.ON_HOLD


def would_be_refused(action: str, pressed: str, asked: Asked) -> None:
    """Raise `Refused` if the command would be, before a modal asks for a reason. Changes nothing."""
    rollout = _rollout(pressed, asked)
    _, wanted = command(action, pressed, "…")
    request = Request(command=wanted, command_id=asked.command_id, by=asked.by, at=asked.at, rollout=rollout.id)
    asked.service.preview(request)


def _rollout(pressed: str, asked: Asked) -> Rollout:
    name, _ = buttons.opened(pressed)
    found = asked.service.world().find(name)
    if found is None:
        raise NotFound(f"There is no {name}.", hint="See /rollout list.")
    return found
