"""Verbs that name a bundle: what is asked of all of its rollouts at once, and where they stand."""

from bot.commands import dry_runs
from bot.commands.parsing import resolve, typed_times
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import CommandContext, build_clarification
from bot.commands.verb import VerbArguments
from bot.commands.verbs import build_command
from bot.rendering import wording
from bot.rendering.answers import bundle_status
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import event_lines
from core.rollout.concurrency import bundles
from core.rollout.refusal import Refused

BUNDLE_VERBS = frozenset({"status", "start", "approve", "pause", "resume", "rollback", "abandon"})


def answer(parsed: ParsedCommand, context: CommandContext) -> Message | None:
    """What is answered where the line names a bundle; None where it does not. Raises `Refused` as a verb does."""
    if parsed.verb not in BUNDLE_VERBS:
        return None
    world = context.service.load_world()
    found = resolve.find_bundle_in_line(parsed.rest_of_line or parsed.rollout, world)
    if found is None:
        return None
    bundle, text = found
    if text and parsed.rest_of_line and (unclear := resolve.ask_instead_of_ended(bundle, world)) is not None:
        raise build_clarification(unclear, f"{parsed.verb} {{id}}")
    if parsed.verb == "status":
        return bundle_status.render(bundle, world, context.at)
    at, zone = parsed.flags.get("at"), world.policy.timezone
    arguments = VerbArguments(
        reason=text if parsed.rest_of_line else parsed.text,
        queue="queue" in parsed.flags,
        then=typed_times.parse_moment(at, context.at, context.by.find_zone(zone)) if at else None,
    )
    command = build_command(parsed.verb, arguments)
    if dry_runs.FLAG in parsed.flags:
        return dry_runs.try_command(command, bundle.name, f"{parsed.verb} {bundle.name}", context)
    outcome = context.submit(command, bundle.name)
    told = _render_outcome(bundle.name, outcome.positions, context)
    return blocks.append_blocks(told, blocks.lines_section(_list_remarks(parsed, bundle.name)))


def _list_remarks(parsed: ParsedCommand, bundle: str) -> list[str]:
    """What else the line contained that a bundle does not have."""
    remarks = [f"`{parsed.verb}` has no {wording.escape(flag, 40)}; it was ignored." for flag in parsed.unknown]
    if "stratum" in parsed.flags:
        everyone = f"{wording.escape(bundle, 60)} is a bundle, so everyone in all of its rollouts was rolled back."
        remarks.append(f"{everyone} One stratum goes back with the id of its rollout.")
    return remarks


def _render_outcome(name: str, positions: tuple[int, ...], context: CommandContext) -> Message:
    """What happened to each rollout of the bundle, and where nothing did."""
    world = context.service.load_world()
    bundle = bundles.find_bundle(world, name)
    if bundle is None:
        raise Refused(f"There is no bundle {name[:80]}.", hint="See /rollout list.", code="not_found")
    lines: list[str] = []
    for one in bundle.members:
        happened = [
            event_lines.format_line(one, entry.event, world.policy.timezone)
            for entry in context.service.load_entries(one.id)
            if entry.position in positions and not isinstance(entry.event, event_lines.UNANSWERED)
        ]
        state = one.state.replace("_", " ")
        lines += happened or [f"{one.id} {wording.escape(one.plan.name, 60)} stays as it is: {state}."]
    return blocks.build_message(bundle_status.describe_first_line(bundle), blocks.lines_section(lines))
