"""What is handed out after a rollback: its evidence as a file, and its plan as a file for another attempt."""

from bot.commands import request
from bot.commands.request import CommandContext
from bot.rendering.documents import evidence_bundle
from bot.rendering.markup import FindHandles
from core.files import write_file
from core.report_sources import investigation_sources
from core.rollout.permissions import reading_rights
from core.rollout.state.world import World


def load_bundle(context: CommandContext, rollout_id: str, find_handles: FindHandles) -> tuple[str, bytes]:
    """(file name, ZIP file) of a rollback's evidence; `Refused` if there is nothing to investigate."""
    request.require_member(context)
    world = context.service.load_world()
    found = investigation_sources.load_investigation(context.service, world.require_rollout(rollout_id))
    return evidence_bundle.name_bundle(found), evidence_bundle.build_bundle(found, world.policy.timezone, find_handles)


def write_next_attempt(context: CommandContext, rollout_id: str) -> tuple[str, str]:
    """(file name, YAML) of a new rollout with the same plan; `Refused` for those who may not read its prompt."""
    request.require_member(context)
    world = context.service.load_world()
    rollout = world.require_rollout(rollout_id)
    reading_rights.check_may_read_prompts(world.policy, context.by, [rollout])
    name = choose_next_name(world, rollout.plan.name)
    live = world.surfaces[rollout.plan.surface].live
    return f"{name}.yaml", write_file.export_next_attempt(rollout.plan, name, live)


def choose_next_name(world: World, name: str) -> str:
    """The first of `name-2`, `name-3`, … that no rollout has; a number at the end of `name` counts on."""
    base, _, number = name.rpartition("-")
    base, start = (base, int(number) + 1) if base and number.isdecimal() else (name, 2)
    return next(f"{base}-{i}" for i in range(start, start + 10_000) if world.find_named(f"{base}-{i}") is None)
