"""The verbs that look back: the review of one rollout, the baseline of an AI feature, and the digest of a week."""

from bot.commands import request
from bot.commands.answers import plan_queries
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import AnswersByVerb, CommandContext
from bot.rendering.answers.evidence import baseline
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import review
from bot.rendering.messages.workspace import digest
from core.digests.digest import Digest
from core.digests.week import parse_week
from core.files import rollout_form
from core.report_sources import digest_sources, review_sources
from core.rollout.refusal import Refused


def _answer_review(parsed: ParsedCommand, context: CommandContext) -> Message:
    """The draft of a review, or the review if it is written."""
    world, rollout = request.require_rollout_for_member(parsed.rollout, context, "review {id}")
    return review.render(review_sources.load_draft(context.service, rollout), world.policy.timezone)


def _answer_baseline(parsed: ParsedCommand, context: CommandContext) -> Message:
    request.require_member(context)
    world = context.service.load_world()
    surface = world.surfaces[plan_queries.find_surface(world, parsed.rollout)]
    suggested = rollout_form.suggest_limits(surface, world.policy)
    return baseline.render(surface, suggested, world.policy.timezone)


def load_digest(parsed: ParsedCommand, context: CommandContext) -> Digest:
    """The digest that was asked for. Refused, with the forms that are understood, if there is no such week."""
    zone = context.service.load_world().policy.timezone
    if not parsed.args:
        return digest_sources.load_newest_digest(context.service, context.at, zone)
    try:
        week = parse_week(parsed.args[0], context.at, zone)
    except ValueError as error:
        raise Refused(str(error), code="invalid") from error
    return digest_sources.load_digest(context.service, week, context.at)


def _answer_digest(parsed: ParsedCommand, context: CommandContext) -> Message:
    request.require_member(context)
    found = load_digest(parsed, context)
    shown = digest.render(found, found.week.zone)
    is_instead = not parsed.args and found.until < found.week.ends
    return blocks.append_blocks(shown, blocks.context(digest.THIS_WEEK_INSTEAD) if is_instead else None)


ANSWERS: AnswersByVerb = {
    "review": _answer_review,
    "baseline": _answer_baseline,
    "digest": _answer_digest,
}
