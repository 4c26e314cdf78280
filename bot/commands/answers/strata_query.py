"""The verb `strata`: how each audience of a rollout is doing, compared within itself."""

from collections.abc import Callable, Mapping

from bot.commands import request
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import CommandContext
from bot.rendering.answers.evidence import strata
from bot.rendering.blocks.blocks import Message
from core.report_sources.strata_sources import load_strata


def _answer_strata(parsed: ParsedCommand, context: CommandContext) -> Message:
    _, rollout = request.require_rollout_for_member(parsed.rollout, context, "strata {id}")
    return strata.render(rollout, load_strata(context.service, rollout))


VERBS: Mapping[str, Callable[[ParsedCommand, CommandContext], Message]] = {"strata": _answer_strata}
