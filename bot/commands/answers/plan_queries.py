"""The verbs about plans: `create`, which opens a form, and what a plan means at the traffic that is known."""

import html
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from bot.commands import request
from bot.commands.parsing import typed_line
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import AnswersByVerb, CommandContext
from bot.rendering import wording
from bot.rendering.answers.planning import plan_outlook
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import approval
from bot.rendering.messages.plan_facts import DecisionFacts, ListMembers
from bot.rendering.neighbours import shared_words
from core.files.foresight.outlook import PlanOutlook, build_outlook
from core.files.syntax.problems import UnreadableFile
from core.report_sources import eval_coverage, traffic_history
from core.report_sources.planned_file import load_outlook, plan_file
from core.rollout.command_events import find_version_authors
from core.rollout.concurrency.neighbours import find_neighbours
from core.rollout.decisions import start_conditions
from core.rollout.models.way_back import foresee_end
from core.rollout.permissions import approvers
from core.rollout.refusal import NotFound
from core.rollout.state.events import ConcernRaised, Planned
from core.rollout.state.history import HistoryEntry
from core.rollout.state.model import Rollout
from core.rollout.state.surface import build_unknown_surface
from core.rollout.state.world import World
from core.service.service import RolloutService


def load_rollout_outlook(service: RolloutService, rollout: Rollout, now: datetime) -> PlanOutlook:
    """The outlook of a rollout that has not started, from the notices that have gone out and the start that is set."""
    world = service.cached_world()
    surface = world.surfaces[rollout.plan.surface]
    waits = start_conditions.find_earliest_start(rollout, now)
    begin = max(now, rollout.start or now, waits[0] if waits else now)
    known = traffic_history.load_known_traffic(service, surface, world, now)
    traffic = eval_coverage.load_segment_traffic(service, rollout.plan, world)
    return build_outlook(
        rollout.plan,
        surface,
        world.policy_for(surface.name),
        known,
        now,
        begin=begin,
        coverage=eval_coverage.find_plan_coverage(traffic, rollout.plan, world, rollout.evals),
        traffic=traffic,
    )


def load_decision_facts(
    service: RolloutService,
    rollout: Rollout,
    entries: Sequence[HistoryEntry],
    now: datetime,
    members: ListMembers = lambda _: {},
) -> DecisionFacts:
    """What somebody has to know who decides on a rollout; `entries` are its history, `members` lists user groups."""
    world = service.cached_world()
    planned = max((x.position for x in entries if isinstance(x.event, Planned)), default=0)
    return DecisionFacts(
        outlook=None if rollout.started_at is not None else load_rollout_outlook(service, rollout, now),
        rule=approvers.find_approver_rule(rollout, world.policy, find_version_authors(world, rollout))
        if rollout.plan.needs_approval or rollout.request is not None
        else None,
        concerns=tuple(x.event for x in entries if isinstance(x.event, ConcernRaised) and x.position > planned),
        members=members,
        neighbours=find_neighbours(world, rollout, now),
        way_back=foresee_end(rollout.plan, world.surfaces[rollout.plan.surface]),
    )


def build_plan_details(context: CommandContext, rollout_id: str, members: ListMembers) -> Message:
    """What somebody has to know who decides on a rollout; NotFound if there is none with this id."""
    world = context.service.load_world()
    rollout = world.require_rollout(rollout_id)
    entries = context.service.load_entries(rollout.id)
    facts = load_decision_facts(context.service, rollout, entries, context.at, members)
    return approval.render_details(rollout, facts, world.policy.timezone)


def find_surface(world: World, name: str) -> str:
    """The AI feature of this name or title; the first one if none is named. NotFound if there is none."""
    if not world.surfaces:
        raise NotFound("There are no AI features yet.", hint="Apply a surface file first: rollout apply surface.yaml.")
    if not name:
        return next(iter(world.surfaces))
    wanted = name.lower()
    found = next((s.name for s in world.surfaces.values() if wanted in (s.name.lower(), s.title.lower())), None)
    if found is None:
        raise build_unknown_surface(name, world.surfaces)
    return found


def _offer_form(parsed: ParsedCommand, context: CommandContext) -> Message:
    """A button that opens the form, where none can be opened at once, as after a mention."""
    world = context.service.load_world()
    request.require_role("operator", context, world)
    surface = find_surface(world, parsed.rollout)
    return blocks.build_message("Plan a rollout with a form.", blocks.actions(buttons.create_rollout(surface)))


def _answer_plan(parsed: ParsedCommand, context: CommandContext) -> Message:
    """What the plan of a rollout means, or that of a pasted file."""
    request.require_member(context)
    world = context.service.load_world()
    if parsed.text:
        return _answer_pasted_file(parsed.text, context, world)
    rollout = request.require_rollout(parsed.rollout, context, world, "plan {id}")
    if rollout.started_at is None:
        return build_plan_details(context, rollout.id, lambda _: {})
    # Its calendar is in its thread; dates from now on would be wrong.
    outlook = replace(load_outlook(context.service, rollout.plan, context.at, evals=rollout.evals), rows=())
    return plan_outlook.render(outlook, world.policy.timezone, wording.format_subject(rollout), rollout.evals)


def _answer_pasted_file(text: str, context: CommandContext, world: World) -> Message:
    """The plan that a pasted rollout file gives, or what is wrong with it. Nothing is planned."""
    try:
        planned = plan_file(context.service, typed_line.unwrap_mentions(text), "pasted", context.at)
    except UnreadableFile as unreadable:
        return blocks.build_message(
            "This file cannot be used as it is. Nothing was planned.",
            blocks.preformatted_section(html.escape(str(unreadable), quote=False)),
        )
    shown = plan_outlook.render(planned.outlook, world.policy.timezone, evals=planned.evals)
    shown = blocks.append_blocks(shown, blocks.lines_section([shared_words.describe(one) for one in planned.shared]))
    return blocks.append_blocks(
        shown, blocks.context("Nothing was planned. `rollout apply FILE` plans it, and so does the form.")
    )


ANSWERS: AnswersByVerb = {"create": _offer_form, "plan": _answer_plan}
