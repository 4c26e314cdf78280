"""The verbs that only read: status, list, checks, history, whois, notice."""

import json
from collections.abc import Callable

from bot.commands import request
from bot.commands.answers import customers_query, whois_query
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import AnswersByVerb, CommandContext
from bot.rendering.answers import history, notice_overview, status
from bot.rendering.answers.evidence import checks, samples
from bot.rendering.blocks.blocks import Message
from bot.rendering.documents import history_file
from bot.rendering.json.rollouts import event_to_json, rollout_to_json
from bot.rendering.messages import card
from core.report_sources import eval_coverage, look_reports
from core.rollout.concurrency.neighbours import Neighbours, find_neighbours
from core.rollout.context import is_same_person
from core.rollout.models.way_back import is_way_back_closed
from core.rollout.permissions import reading_rights
from core.rollout.refusal import Refused
from core.rollout.serving import layering
from core.rollout.state.model import Rollout
from core.rollout.state.world import World
from core.store.shadow_eval import judging_accounts, shadow_samples


def _answer_status(parsed: ParsedCommand, context: CommandContext) -> Message:
    world = context.service.load_world()
    zone = world.policy.timezone
    if not parsed.rollout and not context.thread_ts:
        if not world.open_rollouts:
            return status.render_live_versions(world)
        if len(world.open_rollouts) > 1:
            return status.render_list(
                world.open_rollouts, zone, "Open now", _neighbour_finder(world, context), at=context.at
            )
    rollout = request.require_rollout(parsed.rollout, context, world, "status {id}")
    rollout = layering.foresee_slots(rollout, world.policy)
    spend = look_reports.load_judging_spend(context.service, rollout) if rollout.is_under_way else None
    newest = look_reports.load_unrecorded_judgement(context.service, rollout)
    neighbours = find_neighbours(world, rollout, context.at)
    uncounted = look_reports.load_uncounted_reports(context.service, rollout)
    return card.render(rollout, zone, newest, neighbours, spend, context.at, uncounted)


def _neighbour_finder(world: World, context: CommandContext) -> Callable[[Rollout], Neighbours]:
    return lambda rollout: find_neighbours(world, rollout, context.at)


def _answer_list(parsed: ParsedCommand, context: CommandContext) -> Message:
    world = context.service.load_world()
    title = "Rollouts" if parsed.flags else "Open now"
    finder = _neighbour_finder(world, context)
    chosen, zone = select_rollouts(parsed, context), world.policy.timezone
    return status.render_list(chosen, zone, title, finder, at=context.at, is_everything=not world.rollouts)


def select_rollouts(parsed: ParsedCommand, context: CommandContext) -> tuple[Rollout, ...]:
    """The rollouts for `list`: the open ones, or those that its flags select."""
    world = context.service.load_world()
    flags = parsed.flags
    everything = tuple(world.rollouts.values())
    chosen = everything if "all" in flags or "state" in flags else world.open_rollouts
    if "mine" in flags:
        chosen = tuple(r for r in chosen if _is_mine(r, context))
    if "surface" in flags:
        chosen = tuple(r for r in chosen if r.plan.surface == flags["surface"])
    if "state" in flags:
        chosen = tuple(r for r in chosen if r.state == flags["state"])
    return chosen


def _is_mine(rollout: Rollout, context: CommandContext) -> bool:
    by = context.by
    owner = by.matches_reference(rollout.plan.owner) or by.matches_reference(rollout.plan.owner_handle)
    return owner or is_same_person(rollout.planned_by, by.id)


def _answer_history(parsed: ParsedCommand, context: CommandContext) -> Message:
    world, rollout = request.require_rollout_for_member(parsed.rollout, context, "history {id}")
    return history.render(rollout, context.service.load_entries(rollout.id), world.policy.timezone)


def load_history_file(context: CommandContext, reference: str, form: str) -> tuple[str, str]:
    """(file name, content) of a rollout's whole history, as `csv` in sentences or as `json` with all data.

    `Refused` for guests and, as the data hold prompts, for `json` to those who may not read them.
    """
    world, rollout = request.require_rollout_for_member(reference, context, f"history {{id}} --{form}")
    if form == "csv":
        text = history_file.format_csv(context.service.load_entries(rollout.id), world.policy.timezone)
    else:
        reading_rights.check_may_read_prompts(world.policy, context.by, [rollout])
        events = [event_to_json(one) for one in context.service.load_history(rollout.id)]
        text = json.dumps({"rollout": rollout_to_json(rollout), "events": events}, indent=2, ensure_ascii=False)
    return f"history-{rollout.id}.{form}", text


def _answer_checks(parsed: ParsedCommand, context: CommandContext) -> Message:
    world, rollout = request.require_rollout_for_member(parsed.rollout, context, "checks {id}")
    return checks.render(rollout, eval_coverage.load_coverage(context.service, rollout.plan, world, rollout.evals))


def _answer_samples(parsed: ParsedCommand, context: CommandContext) -> Message:
    world, rollout = request.require_rollout_for_member(parsed.rollout, context, "samples {id}")
    reading_rights.check_may_read_prompts(world.policy, context.by, [rollout])
    judging = world.surfaces[rollout.plan.surface].judging
    with context.service.database.reading() as connection:
        progress = shadow_samples.load_progress(connection, rollout.id)
        worst = {
            arm: shadow_samples.load_worst(connection, rollout.id, arm, samples.SHOWN) for arm in ("canary", "control")
        }
        spend = judging_accounts.load_spend(connection, rollout.id, judging.cap if judging is not None else None)
    return samples.render(rollout, judging.judge if judging is not None else "no judge", progress, worst, spend)


def answer_notice(parsed: ParsedCommand, context: CommandContext) -> Message:
    """Who is notified, of what, and who has read it. This sends nothing: notices go out automatically."""
    world = context.service.load_world()
    rollout = request.require_rollout(parsed.rollout, context, world, parsed.again)
    zone = world.policy.timezone
    if parsed.args == ("preview",):
        surface = world.surfaces[rollout.plan.surface]
        is_closed = is_way_back_closed(rollout.plan, surface, world.policy, context.at)
        title = surface.title or surface.name
        rollout = layering.foresee_slots(rollout, world.policy)
        return notice_overview.render_preview(rollout, title, context.at, zone, is_closed=is_closed)
    if parsed.args == ("send",) and not rollout.plan.stakeholder_notices:
        raise Refused(f"{rollout.id} has no notices.", hint="Add channels under `notify:` and apply the file again.")
    return notice_overview.render(rollout, zone)


ANSWERS: AnswersByVerb = {
    "status": _answer_status,
    "list": _answer_list,
    "history": _answer_history,
    "samples": _answer_samples,
    "checks": _answer_checks,
    "whois": whois_query.answer,
    "customers": customers_query.answer,
}
