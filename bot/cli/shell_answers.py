"""Answers as a shell shows them: a button becomes the command that does the same, or is left out."""

import re
import shlex
from datetime import datetime
from typing import TYPE_CHECKING

from bot.commands.verbs import takes_rest_of_line

if TYPE_CHECKING:
    from bot.rendering.blocks.blocks import Block, Message
    from bot.rendering.markup import FindHandles

_SLASH_COMMAND = re.compile(r"(?<![^\s`])/rollout(?= [a-z])(?![^.]* in Slack)")


def render_answer(message: "Message", find_handles: "FindHandles") -> str:
    """The text of an answer, and below it a line per command that one of its buttons stands for.

    `find_handles` names the people in it.
    """
    from bot.rendering import markup, wording
    from bot.rendering.charts import plain_text

    text = wording.name_mentions(plain_text.render_text(message, with_buttons=False))
    text = markup.name_people(text, find_handles)
    pressed = [button for block in message.blocks if block["type"] == "actions" for button in block["elements"]]
    commands = dict.fromkeys(filter(None, map(_find_typed_command, pressed)))
    return "\n".join([text, *(f"  {to_shell_command(command)}" for command in commands)])


def render_refusal(message: "Message", find_handles: "FindHandles") -> str:
    """The text of a refusal, in which commands are as a shell takes them."""
    return name_shell_commands(render_answer(message, find_handles))


def name_shell_commands(text: str) -> str:
    """The text with the commands that it names as a shell takes them, but those that are typed in Slack."""
    return _SLASH_COMMAND.sub("rollout", text)


def to_shell_command(suggestion: str) -> str:
    """A command as it is typed in Slack, in the form to type into a shell."""
    from bot.commands.parsing import grammar

    verb, _, rest = suggestion.partition(" ")
    words = [word for word in rest.split(" ", 1) if word] if takes_rest_of_line(verb) else grammar.split_words(rest)
    return shlex.join(["rollout", verb, *words])


def _find_typed_command(button: "Block") -> str | None:
    """What to type, as in Slack, instead of pressing the button; None if it opens a form or belongs to one person."""
    from bot.rendering.blocks import buttons

    action, (rollout, detail) = button["action_id"], buttons.decode_value(button.get("value", ""))
    match action.split(".")[0]:
        case buttons.RUN:
            return None if button["value"].endswith(" --public") else str(button["value"])
        case buttons.START_THEN:
            return f"start {rollout} --at {datetime.fromisoformat(detail).isoformat(timespec='minutes')}"
        case buttons.PAUSE:
            return f"pause {rollout}"
        case buttons.RESUME:
            return f"resume {rollout}"
        case buttons.ROLL_BACK:
            return f"rollback {rollout}"
        case buttons.GET_HISTORY:
            return f"history {rollout} --{detail}"
        case _:
            return None
