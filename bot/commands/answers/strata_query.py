"""The verb `strata`: how each audience of a rollout is doing, compared within itself."""

from collections.abc import Callable, Mapping

from bot.commands import request
from bot.commands.parsing.grammar import ParsedCommand
from bot.commands.request import CommandContext
from bot.rendering.answers import strata
from bot.rendering.blocks.blocks import Message
from core import evaluation
from core.reviews.strata_verdicts import StratumVerdict, build_verdicts
from core.rollout.state.model import Rollout
from core.service import RolloutService


def load_verdicts(service: RolloutService, rollout: Rollout) -> tuple[StratumVerdict, ...]:
    """The strata of a rollout as of the newest look."""
    newest = evaluation.newest(service, rollout)
    events = (recorded.event for recorded in service.load_history(rollout.id))
    return build_verdicts(rollout, events, newest[0] if newest is not None else None)


def _answer_strata(parsed: ParsedCommand, context: CommandContext) -> Message:
    request.require_member(context)
    rollout = request.require_rollout(parsed.rollout, context, context.service.load_world(), "strata {id}")
    return strata.render(rollout, load_verdicts(context.service, rollout))


VERBS: Mapping[str, Callable[[ParsedCommand, CommandContext], Message]] = {"strata": _answer_strata}
