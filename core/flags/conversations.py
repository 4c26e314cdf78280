"""Conversations under way: which of them go on with the version that they began with."""

from collections.abc import Mapping
from typing import Any

from core.flags.snapshot import FlagAnswer, SurfaceFlags, Variant

CONVERSATION = "conversation"
"""The attribute of the context in which applications send back what a conversation began with."""


def format_conversation(surface: str, answer: FlagAnswer) -> str:
    """What an application keeps with a conversation that begins with this answer, and sends back in later turns."""
    return f"{surface}@{answer.origin}"


def continue_conversation(
    flags: SurfaceFlags, unit: str | None, context: Mapping[str, Any], answer: FlagAnswer
) -> FlagAnswer:
    """The answer for a turn of a conversation; `answer` is what one that begins now would get.

    A conversation goes on with its version only if that version still finishes and was served to this unit. It is then
    not compared, in either arm: the arms hold only conversations that began in the stage under way, so that old ones
    do not stand on one side. Whatever else was sent changes nothing.
    """
    origin = _find_origin(flags.name, context.get(CONVERSATION))
    if not unit or origin is None or origin == answer.origin:
        return answer
    version = origin.partition("/")[0]
    if flags.exposure is not None and flags.exposure.is_final(answer):
        return answer
    finishing = flags.finishing.get(version)
    if finishing is None or (version == answer.version.name and answer.variant is Variant.STABLE):
        return answer
    if finishing.served_to is None or any(served.includes(unit, context) for served in finishing.served_to):
        return finishing.answer
    return answer


def _find_origin(surface: str, sent: object) -> str | None:
    """What the conversation began with on this surface; None if nothing was sent for it."""
    prefix = f"{surface}@"
    for one in sent if isinstance(sent, list | tuple) else (sent,):
        if isinstance(one, str) and one.startswith(prefix):
            return one[len(prefix) :]
    return None
