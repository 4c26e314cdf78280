"""The verb `whois`: which version somebody gets on each AI feature, which they got before, and why."""

from collections.abc import Mapping
from datetime import datetime, timedelta

from bot.commands import request
from bot.commands.parsing import typed_times
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import ClarificationNeeded, CommandContext
from bot.rendering.answers.served import whois
from bot.rendering.answers.served.whois import UnitHistory
from bot.rendering.blocks.blocks import Message
from core.rollout.serving import assignment_history
from core.rollout.serving.assignment_history import FlagsInterval
from core.rollout.state.surface import Surface
from core.rollout.state.world import World

LOOK_BACK = timedelta(days=30)  # how much of the past is told unless a moment is asked about


def answer(parsed: ParsedCommand, context: CommandContext) -> Message:
    """Which version the unit gets on each of the surfaces that were named, or on all of them."""
    request.require_member(context)
    world = context.service.load_world()
    unit, named = parsed.args[0], parsed.args[1:]
    surfaces = [world.surfaces[s] for s in named or world.surfaces if s in world.surfaces]
    if not surfaces:
        if not world.surfaces:
            raise ClarificationNeeded("There are no AI features yet.")
        raise ClarificationNeeded(f"There is no AI feature called {named[0]}. Known: {', '.join(world.surfaces)}.")
    zone = context.by.find_zone(world.policy.timezone)
    typed = parsed.flags.get("at", "")
    asked_at = typed_times.parse_past_moment(typed, context.at, zone) if typed else None
    known = _parse_attributes(parsed.flags.get("where", ""))
    histories = [
        _find_history(surface, unit, known, since=(asked_at or context.at) - LOOK_BACK, world=world, context=context)
        for surface in surfaces
    ]
    return whois.render(unit, histories, world.policy.timezone, asked_at)


def _parse_attributes(text: str) -> Mapping[str, str]:
    pairs = (one.partition("=") for one in text.split(",") if one)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _find_history(
    surface: Surface,
    unit: str,
    known: Mapping[str, str],
    *,
    since: datetime,
    world: World,
    context: CommandContext,
) -> UnitHistory:
    intervals = _load_intervals(surface, since, world, context)
    assignments = assignment_history.assign_unit(intervals, unit, known)
    rollouts = {
        one.rollout: rollout
        for one in assignments
        if one.rollout and (rollout := world.find_rollout(one.rollout)) is not None
    }
    seen = {
        rollout: context.service.load_arms_seen(rollout, unit)
        for rollout in {one.rollout for one in assignments if one.rollout and not one.version}
    }
    return UnitHistory(surface=surface, assignments=assignments, rollouts=rollouts, seen=seen, told_from=since)


def _load_intervals(
    surface: Surface, since: datetime, world: World, context: CommandContext
) -> tuple[FlagsInterval, ...]:
    """What the surface served since then; for a surface that has not changed since, only what it serves now."""
    recorded = context.service.load_assignment_events(surface.name, since, context.at)
    steps = [(one.stream, one.event, one.at, one.position) for one in recorded if one.position <= world.position]
    return tuple(
        one for one in assignment_history.fold_flags(surface.name, steps) if one.until is None or one.until > since
    )
