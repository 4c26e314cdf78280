"""The verbs `freeze` and `unfreeze`: nothing starts or grows until a time, on one AI feature or on all."""

from bot.commands.answers.plan_queries import find_surface
from bot.commands.parsing import typed_times
from bot.commands.parsing.parsed_command import ParsedCommand
from bot.commands.request import AnswersByVerb, CommandContext
from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from core import durations
from core.rollout import commands as c
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.workspace.freezes import LONGEST_FREEZE


def _freeze(parsed: ParsedCommand, context: CommandContext) -> Message:
    world = context.service.load_world()
    zone = context.by.find_zone(world.policy.timezone)
    surface = find_surface(world, parsed.rollout) if parsed.rollout else ""
    kind, when = parsed.args
    if kind == "for":
        try:
            until = context.at + durations.parse_duration(when.replace(" ", ""))
        except ValueError as error:
            hint = f"Write it like 4h or 3d. A freeze lasts at most {LONGEST_FREEZE.days} days."
            raise Refused(str(error), hint=hint, code="bad_time") from error
    else:
        until = typed_times.parse_moment(when, context.at, zone)
    outcome = context.submit(c.FreezeChanges(surface=surface, until=until, reason=parsed.text))
    at, why = wording.format_local_time(until, zone), f": “{wording.escape(parsed.text, 300)}”" if parsed.text else ""
    known = world.surfaces.get(surface)
    title = wording.title_in_sentence(known.title or surface) if known is not None else ""
    where = f"the {title}" if title else "any AI feature"
    covered = [r for r in outcome.recorded if isinstance(r.event, e.GrowthFrozen)]
    told = f"Told in {wording.pluralize(len(covered), 'thread')}." if covered else "No rollout is open there."
    first = f"No changes to {where} until {at}{why}."
    if not outcome.positions:
        first = f"No change needed: changes to {where} are stopped like that already."
    return blocks.build_message(
        first,
        blocks.section(f"It keeps answering as it does now; going back still works. {told}"),
        blocks.actions(buttons.run_command("Unfreeze", f"unfreeze {surface}".strip())),
    )


def _unfreeze(parsed: ParsedCommand, context: CommandContext) -> Message:
    world = context.service.load_world()
    surface = find_surface(world, parsed.rollout) if parsed.rollout else ""
    outcome = context.submit(c.UnfreezeChanges(surface=surface))
    if not outcome.positions:
        return blocks.build_message("No change needed: nothing is frozen.")
    return blocks.build_message(
        f"Changes are allowed again: {_name(surface)}.", blocks.section("What was waiting continues on its own.")
    )


def _name(surface: str) -> str:
    return wording.escape(surface, 80) or "every AI feature"


ANSWERS: AnswersByVerb = {"freeze": _freeze, "unfreeze": _unfreeze}
