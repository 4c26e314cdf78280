"""Works out what a command would do, without doing it: the events that would be recorded, and the messages."""

from bot.commands.request import CommandContext
from bot.rendering.answers.planning import dry_run
from bot.rendering.blocks.blocks import Message
from core.rollout import commands as c
from core.rollout.concurrency import bundles, following
from core.rollout.notifications.announce_event import announce_event
from core.rollout.notifications.announcement import Announcement
from core.rollout.refusal import NotFound
from core.rollout.state import events as e
from core.rollout.state.model import Rollout

FLAG = "dry-run"


def try_command(command: c.Command, rollout_id: str, what: str, context: CommandContext) -> Message:
    """What `command` would record and post; `what` is the command as typed. Raises what carrying it out would raise."""
    world = context.service.load_world()
    named = world.find_rollout(rollout_id)
    bundle = bundles.find_bundle(world, rollout_id) if named is None else None
    about = named or (bundle.members[0] if bundle is not None else None)
    if about is None:
        raise NotFound(f"There is no {rollout_id}.", hint="See /rollout list.")
    steps: list[tuple[e.Event, Rollout]] = []
    announced: list[Announcement] = []
    for entry in context.preview(command, rollout_id):
        event, name = entry.event, entry.stream.partition(":")[2]
        before, world = world, following.fold_entries(world, [entry], context.at)
        announced += announce_event(event, name, before, world, context.at)
        if isinstance(event, e.RolloutEvent):
            about = world.get_rollout(name)
        steps.append((event, about))
    return dry_run.render(f"`/rollout {what}`", steps, announced, world.policy.timezone)
