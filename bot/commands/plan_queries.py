"""The verbs about plans: `create`, which opens a form, and what a plan means at the traffic that is known."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from bot.commands import request
from bot.commands.grammar import ParsedCommand
from bot.commands.request import CommandContext
from bot.rendering.answers.plan_outlook import PlanOutlook
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from core import traffic_history
from core.files.foresight import detection, timeline
from core.files.syntax.problems import FileProblem
from core.rollout.plan import Plan
from core.rollout.refusal import NotFound
from core.rollout.world import World
from core.service import RolloutService


def load_outlook(
    service: RolloutService, plan: Plan, now: datetime, warnings: Sequence[FileProblem] = ()
) -> PlanOutlook:
    """The outlook of a plan on a known surface; `warnings` are those of its file."""
    world = service.cached_world()
    surface = world.surfaces[plan.surface]
    known = traffic_history.load_known_traffic(service, surface, world, now)
    design = detection.design_from_plan(plan, world.policy)
    return PlanOutlook(
        plan=plan,
        rows=timeline.build_timeline(plan, surface, world.policy, now),
        foreseen=[detection.foresee_limits(design, stage, known) for stage in design.compared_stages],
        known=known,
        warnings=[w.message for w in warnings if not w.message.startswith(detection.TOO_LATE_PREFIX)],
    )


def find_surface(world: World, name: str) -> str:
    """The AI feature of this name or title; the first one if none is named. NotFound if there is none."""
    if not world.surfaces:
        raise NotFound("There are no AI features yet.", hint="Apply a surface file first: rollout apply surface.yaml.")
    if not name:
        return next(iter(world.surfaces))
    wanted = name.lower()
    found = next((s.name for s in world.surfaces.values() if wanted in (s.name.lower(), s.title.lower())), None)
    if found is None:
        raise NotFound(f"There is no AI feature called {name}. Known: {', '.join(world.surfaces)}.")
    return found


def _offer_form(parsed: ParsedCommand, context: CommandContext) -> Message:
    """A button that opens the form, where none can be opened at once, as after a mention."""
    world = context.service.load_world()
    request.require_role("operator", context, world)
    surface = find_surface(world, parsed.rollout)
    return blocks.build_message("Plan a rollout with a form.", blocks.actions(buttons.create_rollout(surface)))


VERBS: Mapping[str, Callable[[ParsedCommand, CommandContext], Message]] = {"create": _offer_form}
