"""Where a bundle stands: one line for each of its rollouts, and what its start waits for."""

from collections import Counter
from datetime import datetime

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.neighbours import bundle_words
from bot.rendering.sentences import headline
from core.rollout.concurrency import readiness
from core.rollout.concurrency.bundles import Bundle
from core.rollout.concurrency.neighbours import find_neighbours
from core.rollout.plans.bundle_order import BundleOrder
from core.rollout.state.model import Rollout, RolloutState
from core.rollout.state.world import World

_MOVES = {
    BundleOrder.TOGETHER: "They start, hold and go back together.",
    BundleOrder.IN_ORDER: "Each starts when the one before it is done, and goes back if one before it does.",
}


def render(bundle: Bundle, world: World, at: datetime) -> Message:
    """The bundle as of `at`."""
    zone = world.policy.timezone
    around = [(one, find_neighbours(world, one, at)) for one in bundle.members]
    lines = [headline.render(one, zone, others.place, at, others.after) for one, others in around]
    waits = dict.fromkeys(wording.escape(said, 300) for one in bundle.members for said in _list_waits(world, one, at))
    running = any(one.is_under_way for one in bundle.members)
    planned = any(one.state is RolloutState.PLANNED for one in bundle.members)
    return blocks.build_message(
        describe_first_line(bundle),
        blocks.lines_section(lines),
        blocks.lines_section(list(waits)),
        blocks.actions(
            buttons.run_command("Start the bundle", f"start {bundle.name}") if planned and not running else None,
            buttons.run_command("Roll back the bundle", f"rollback {bundle.name}", 1) if running else None,
        ),
        blocks.context(_MOVES[bundle.order]),
    )


def describe_first_line(bundle: Bundle) -> str:
    """How it moves, and how many of its rollouts are in which state."""
    counted = Counter(one.state for one in bundle.members)
    states = ", ".join(f"{number} {state.replace('_', ' ')}" for state, number in counted.items())
    return f"Bundle {wording.escape(bundle.name, 100)}, {bundle_words.describe_order(bundle)}: {states}."


def _list_waits(world: World, rollout: Rollout, at: datetime) -> list[str]:
    """What keeps a planned rollout from its start: what it lacks itself, or else what its bundle waits for."""
    if rollout.state is not RolloutState.PLANNED:
        return []
    own = readiness.explain_obstacles(world, rollout, at)
    if own:
        return [own if rollout.id in own else f"{rollout.id}: {own}"]
    if rollout.bundle is not None and rollout.bundle.order is BundleOrder.TOGETHER:
        return []  # said of the one that it waits for
    return list(readiness.list_bundle_waits(world, rollout, at, by_itself=True))
