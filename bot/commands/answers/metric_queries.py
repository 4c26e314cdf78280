"""The verbs that show numbers: metrics, segments, explain."""

from dataclasses import dataclass

from bot.commands import request
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import AnswersByVerb, CommandContext
from bot.rendering import wording
from bot.rendering.answers.evidence import explain, metrics
from bot.rendering.blocks.blocks import Message
from bot.rendering.numbers import segments
from bot.rendering.numbers.latest_numbers import LatestNumbers, select_latest
from core.report_sources import look_reports
from core.rollout.state.model import Rollout
from core.service import complaint_watch

COMPLAINTS = "complaint_rate"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbers:
    """The numbers for an answer, and for whom they are."""

    rollout: Rollout
    latest_numbers: LatestNumbers
    as_of: str
    in_plain_words: bool  # for a channel that gets notices in plain words


def _answer_metrics(parsed: ParsedCommand, context: CommandContext) -> Message:
    sight = _gather_numbers(parsed, context)
    metric, segment = parsed.args[0] if parsed.args else "", parsed.flags.get("segment", "")
    if sight.in_plain_words:
        return metrics.render_plain(sight.rollout, sight.latest_numbers, metric, segment, sight.as_of)
    zone = context.service.cached_world().policy.timezone
    uncounted = look_reports.load_uncounted_reports(context.service, sight.rollout)
    return metrics.render_technical(sight.rollout, sight.latest_numbers, metric, segment, sight.as_of, zone, uncounted)


def _answer_segments(parsed: ParsedCommand, context: CommandContext) -> Message:
    sight = _gather_numbers(parsed, context)
    return (segments.render_plain if sight.in_plain_words else segments.render_technical)(
        sight.rollout, sight.latest_numbers, sight.as_of
    )


def _answer_explain(parsed: ParsedCommand, context: CommandContext) -> Message:
    sight = _gather_numbers(parsed, context)
    metric = parsed.args[0]
    if sight.in_plain_words:
        return explain.render_plain(sight.rollout, sight.latest_numbers, metric, sight.as_of)
    trend = look_reports.load_trend(context.service, sight.rollout, metric)
    zone = context.service.cached_world().policy.timezone
    rollout = sight.rollout
    causes = look_reports.load_causes(context.service, rollout) if rollout.is_under_way else ()
    compared = complaint_watch.load_comparison(context.service, rollout, context.at) if metric == COMPLAINTS else None
    return explain.render_technical(rollout, sight.latest_numbers, metric, trend, zone, sight.as_of, causes, compared)


def _gather_numbers(parsed: ParsedCommand, context: CommandContext) -> _Numbers:
    world, rollout = request.require_rollout_for_member(parsed.rollout, context, parsed.again)
    judged = look_reports.load_newest_judgement(context.service, rollout) if rollout.is_under_way else None
    seen = select_latest(rollout, judged, context.at)
    return _Numbers(
        rollout=rollout,
        latest_numbers=seen,
        as_of=wording.format_local_time(seen.at, world.policy.timezone) if seen.at else "never",
        in_plain_words=any(n.channel == context.by.channel for n in rollout.plan.stakeholder_notices),
    )


ANSWERS: AnswersByVerb = {
    "metrics": _answer_metrics,
    "segments": _answer_segments,
    "explain": _answer_explain,
}
