"""Turns a pressed button or a submitted modal into a command."""

from collections.abc import Mapping
from datetime import datetime

from bot.commands.request import CommandContext
from bot.commands.verb import VerbArguments
from bot.commands.verbs import build_command
from bot.rendering.blocks import buttons
from core.rollout import commands as c
from core.rollout.decisions.reviewing import QUESTIONS
from core.rollout.state.model import Rollout, RolloutState

VERBS_BY_ACTION: Mapping[str, str] = {
    buttons.APPROVE: "approve",
    buttons.REJECT: "reject",
    buttons.PAUSE: "pause",
    buttons.RESUME: "resume",
    buttons.KEEP: "decide",
    buttons.GO_BACK: "decide",
    buttons.ROLL_BACK: "rollback",
    **{f"{buttons.EXPLAIN_ROLLBACK}.{cause}": "explain-rollback" for cause in c.ROLLBACK_CAUSES},
    buttons.GOT_IT: "acknowledge",
    buttons.CONCERN: "concern",
    buttons.REMIND_ME: "remind-me",
    buttons.FEELS_OFF: "feels-off",
    **{f"{buttons.VOTE}.{choice}": "vote" for choice in buttons.VOTE_LABELS},
    buttons.VOTE_MORE: "vote",
    buttons.MOVE_BACK: "move-back",
    buttons.START_THEN: "start",
}
"""Buttons by action id, each with its verb."""


def parse_click(action: str, button_value: str, reason: str = "") -> tuple[str, c.PersonCommand]:
    """(rollout id, command) of a pressed button, or of its modal with the `reason` that was entered."""
    rollout, detail = buttons.decode_value(button_value)
    if VERBS_BY_ACTION[action] == "vote":
        choice, _, stage = detail.partition(":")
        asked = int(stage) if stage.isdecimal() else None
        return rollout, build_command("vote", VerbArguments(choice=choice, reason=reason, stage=asked))
    arguments = VerbArguments(
        reason=reason,
        request=detail if action in (buttons.APPROVE, buttons.REJECT) else "",
        notice=detail if action in (buttons.GOT_IT, buttons.CONCERN, buttons.REMIND_ME) else "",
        unit=detail if action == buttons.MOVE_BACK else "",
        choice={buttons.KEEP: "keep", buttons.GO_BACK: "back"}.get(action, detail if _explains(action) else ""),
        then=datetime.fromisoformat(detail) if action == buttons.START_THEN else None,
    )
    return rollout, build_command(VERBS_BY_ACTION[action], arguments)


def _explains(action: str) -> bool:
    return action.startswith(f"{buttons.EXPLAIN_ROLLBACK}.")


def needs_reason(action: str, button_value: str, asked: CommandContext) -> bool:
    """Whether the button first opens a modal that asks for a reason."""
    if action in {
        buttons.REJECT,
        buttons.CONCERN,
        buttons.KEEP,
        buttons.GO_BACK,
        buttons.EXPLAIN_OTHER,
        buttons.VOTE_MORE,
    }:
        return True
    return action == buttons.RESUME and find_rollout(button_value, asked).state is RolloutState.ON_HOLD


def check_allowed(action: str, button_value: str, asked: CommandContext) -> None:
    """Raise `Refused` if the command would be, before a modal asks for a reason. Changes nothing."""
    rollout = find_rollout(button_value, asked)
    _, wanted = parse_click(action, button_value, "…")
    asked.preview(wanted, rollout.id)


def check_review_allowed(button_value: str, asked: CommandContext) -> None:
    """Raise `Refused` if this person may not write the review, before its form opens. Changes nothing."""
    rollout = find_rollout(button_value, asked)
    arguments = VerbArguments(answers=dict.fromkeys(QUESTIONS, "…"), keeps_baseline=False)
    asked.preview(build_command("review", arguments), rollout.id)


def find_rollout(button_value: str, asked: CommandContext) -> Rollout:
    """The rollout that a button belongs to; raises NotFound."""
    name, _ = buttons.decode_value(button_value)
    return asked.service.load_world().require_rollout(name)
