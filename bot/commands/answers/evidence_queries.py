"""The verbs that show evidence: `summary`, the newest; `evidence`, one by its number; `strata`, each audience alone."""

from dataclasses import replace

from bot.commands import page_offers, request
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import AnswersByVerb, CommandContext
from bot.rendering.answers.evidence import strata
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import summary
from core.judging.report.series import SeriesPoint
from core.report_sources import look_reports
from core.report_sources.review_sources import load_strata
from core.rollout.refusal import NotFound
from core.rollout.state.events import EvidenceRecorded
from core.rollout.state.evolve import evolve
from core.rollout.state.model import Rollout


def _answer_summary(parsed: ParsedCommand, context: CommandContext) -> Message:
    return _show(parsed, context, 0)


def _answer_evidence(parsed: ParsedCommand, context: CommandContext) -> Message:
    return _show(parsed, context, int(parsed.args[0]))


def _answer_strata(parsed: ParsedCommand, context: CommandContext) -> Message:
    _, rollout = request.require_rollout_for_member(parsed.rollout, context, "strata {id}")
    return strata.render(rollout, load_strata(context.service, rollout))


def _show(parsed: ParsedCommand, context: CommandContext, number: int) -> Message:
    """The summary of the evidence with this number, or of the newest if it is 0, with the rollout as it was then.

    Only whether everybody is back on the old version is of today.
    """
    world, rollout = request.require_rollout_for_member(parsed.rollout, context, parsed.again)
    then: Rollout | None = None
    found: tuple[Rollout, EvidenceRecorded] | None = None
    newest = 0
    for recorded in context.service.load_history(rollout.id):
        if isinstance(recorded.event, EvidenceRecorded):
            newest = recorded.event.number
        then = evolve(then, recorded.event, recorded.at)  # type: ignore[arg-type]
        if isinstance(recorded.event, EvidenceRecorded) and number in (0, newest):
            found, at = (then, recorded.event), recorded.at
    if found is None and not newest:
        raise NotFound(f"{rollout.id} has no evidence yet: nobody has got the new version.", hint="It is judged then.")
    if found is None:
        raise NotFound(f"{rollout.id} has no evidence #{number}; the newest is #{newest}.")

    def load_trend(metric: str) -> tuple[SeriesPoint, ...]:
        return tuple(p for p in look_reports.load_trend(context.service, rollout, metric) if p.at <= at)

    zone, has_ended = world.policy.timezone, not rollout.is_under_way
    then_and_back = replace(found[0], flip=rollout.flip)
    shown = summary.render(then_and_back, found[1], at, zone, load_trend, has_ended=has_ended)
    return page_offers.offer_page(shown, f"/e/{rollout.id}.{found[1].number}", parsed, context)


ANSWERS: AnswersByVerb = {
    "summary": _answer_summary,
    "evidence": _answer_evidence,
    "strata": _answer_strata,
}
