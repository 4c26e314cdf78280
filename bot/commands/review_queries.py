"""The verbs that look back: the review of one rollout, and the baseline of an AI feature."""

from collections.abc import Callable, Mapping

from bot.commands import plan_queries, request
from bot.commands.grammar import ParsedCommand
from bot.commands.request import CommandContext
from bot.rendering.answers import baseline
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import review
from core import review_sources
from core.files import rollout_form


def answer_review(parsed: ParsedCommand, context: CommandContext) -> Message:
    """The draft of a review, or the review if it is written."""
    request.require_member(context)
    world = context.service.load_world()
    rollout = request.require_rollout(parsed.rollout, context, world, "review {id}")
    return review.render(review_sources.load_draft(context.service, rollout), world.policy.timezone)


def _answer_baseline(parsed: ParsedCommand, context: CommandContext) -> Message:
    request.require_member(context)
    world = context.service.load_world()
    surface = world.surfaces[plan_queries.find_surface(world, parsed.rollout)]
    suggested = rollout_form.suggest_limits(surface, world.policy)
    return baseline.render(surface, suggested, world.policy.timezone)


VERBS: Mapping[str, Callable[[ParsedCommand, CommandContext], Message]] = {"baseline": _answer_baseline}
