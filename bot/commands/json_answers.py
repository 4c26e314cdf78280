"""What a verb shows, as JSON for programs: on the command line whole, in Slack as far as a message holds it."""

import html
import json
from typing import Any

from bot.commands import request
from bot.commands.answers import plan_queries, review_queries, version_queries
from bot.commands.answers import rollout_queries as queries
from bot.commands.parsing import resolve
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import CommandContext
from bot.rendering import wording
from bot.rendering.answers.evidence import baseline
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.documents import difference_text
from bot.rendering.json import digests, evidence, reviews, rollouts
from bot.rendering.json.strata import strata_to_json
from bot.rendering.json.versions import versions_to_json
from bot.rendering.numbers.latest_numbers import LatestNumbers, select_latest
from core.files import rollout_form
from core.report_sources import look_reports, review_sources
from core.report_sources.review_sources import load_strata
from core.rollout.concurrency.neighbours import find_neighbours
from core.rollout.permissions import reading_rights
from core.rollout.refusal import NotFound, Refused
from core.rollout.state.model import Rollout

_FOR_GUESTS = frozenset({"status", "list"})
_HOLD_PROMPTS = frozenset({"history", "diff", "versions"})


def answer_as_json(parsed: ParsedCommand, context: CommandContext) -> dict[str, Any]:
    """What the verb shows. Raises `Refused` as the verb does."""
    service, world = context.service, context.service.load_world()
    if parsed.verb not in _FOR_GUESTS:
        request.require_member(context)
    if parsed.verb == "diff":
        return difference_text.pair_to_json(version_queries.find_pair(parsed, context))
    if parsed.verb == "digest":
        return digests.digest_to_json(review_queries.load_digest(parsed, context))
    if parsed.verb == "baseline":
        surface = world.surfaces[plan_queries.find_surface(world, parsed.rollout)]
        return baseline.baseline_to_json(surface, rollout_form.suggest_limits(surface, world.policy))
    if parsed.verb == "versions":
        versions = version_queries.load_versions(service, version_queries.find_surface_of_versions(parsed, world))
        return versions_to_json(versions.surface, versions.records)
    if parsed.verb == "list":
        chosen = queries.select_rollouts(parsed, context)
        return {
            "rollouts": [rollouts.rollout_to_json(r, find_neighbours(world, r, context.at)) for r in chosen],
        }
    if parsed.verb == "status" and (named := resolve.find_bundle_in_line(parsed.rollout, world)) is not None:
        return rollouts.bundle_to_json(named[0], world, context.at)
    rollout = resolve.find_rollout(parsed.rollout, world, thread_ts=context.thread_ts)
    if not isinstance(rollout, Rollout):
        raise NotFound(rollout.question)
    match parsed.verb:
        case "status":
            return rollouts.rollout_to_json(rollout, find_neighbours(world, rollout, context.at))
        case "checks":
            return {"checks": [rollouts.eval_to_json(rollout, index) for index in sorted(rollout.evals)]}
        case "history":
            return {"events": [rollouts.event_to_json(r) for r in service.load_history(rollout.id)]}
        case "review":
            return reviews.review_to_json(review_sources.load_draft(service, rollout), world.policy.timezone)
        case "explain":
            trend = look_reports.load_trend(service, rollout, parsed.args[0])
            return evidence.metric_to_json(rollout, _load_latest(rollout, context), parsed.args[0], trend)
        case "segments":
            return evidence.segments_to_json(rollout, _load_latest(rollout, context))
        case "strata":
            return strata_to_json(rollout, load_strata(service, rollout), _load_latest(rollout, context).at)
        case _:
            found = evidence.evidence_to_json(
                rollout,
                look_reports.load_newest_judgement(service, rollout),
                context.at,
                look_reports.load_soft_errors(service, rollout),
                look_reports.load_judging_spend(service, rollout),
            )
            return evidence.filter_evidence(
                found, parsed.args[0] if parsed.args else "", parsed.flags.get("segment", "")
            )


def render_in_slack(parsed: ParsedCommand, context: CommandContext) -> Message:
    """The JSON as preformatted text; what does not fit is cut, and where the whole is to be had is said."""
    if parsed.verb in _HOLD_PROMPTS:
        _require_prompt_reader(parsed, context)
    text = json.dumps(answer_as_json(parsed, context), indent=1, ensure_ascii=False)
    words = [parsed.verb, *([parsed.rollout] if parsed.rollout else []), *parsed.args]
    command = wording.escape(f"rollout {' '.join(words)} --json", 200)
    whole = blocks.context(f"All of it: `{command}` on the server, or the HTTP interface.")
    escaped = html.escape(text, quote=False).replace("```", "'''")
    shown = blocks.preformatted_section(escaped)
    is_cut = len(escaped) > blocks.SECTION_LIMIT - 6
    return blocks.build_message(f"`{wording.escape(' '.join(words), 100)}` as JSON.", shown, whole if is_cut else None)


def _require_prompt_reader(parsed: ParsedCommand, context: CommandContext) -> None:
    """Raise `Refused` if the text of prompts would go into a channel, or to somebody who may not read it."""
    if "public" in parsed.flags:
        raise Refused(
            "This holds the text of prompts, which does not go into a channel.", hint="Leave out --public or --json."
        )
    world = context.service.load_world()
    found = resolve.find_rollout(parsed.rollout, world, thread_ts=context.thread_ts)
    involved = [found] if parsed.verb == "history" and isinstance(found, Rollout) else []
    reading_rights.check_may_read_prompts(world.policy, context.by, involved)


def _load_latest(rollout: Rollout, context: CommandContext) -> LatestNumbers:
    return select_latest(rollout, look_reports.load_newest_judgement(context.service, rollout), context.at)
