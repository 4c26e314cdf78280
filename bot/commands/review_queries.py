"""The verbs that look back: the review of one rollout."""

from bot.commands import request
from bot.commands.grammar import ParsedCommand
from bot.commands.request import CommandContext
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import review
from core import review_sources


def answer_review(parsed: ParsedCommand, context: CommandContext) -> Message:
    """The draft of a review, or the review if it is written."""
    request.require_member(context)
    world = context.service.load_world()
    rollout = request.require_rollout(parsed.rollout, context, world, "review {id}")
    return review.render(review_sources.load_draft(context.service, rollout), world.policy.timezone)
