"""Status answers: a list of rollouts, or the live version of every AI feature."""

from collections.abc import Callable
from datetime import datetime

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.sentences import headline
from core.rollout.concurrency.neighbours import NO_NEIGHBOURS, Neighbours
from core.rollout.plans.plan import content_hash
from core.rollout.state.model import Rollout
from core.rollout.state.world import World

MAX_LISTED = 10


def render_list(
    rollouts: tuple[Rollout, ...],
    zone: str,
    title: str,
    find_neighbours: Callable[[Rollout], Neighbours] = lambda _: NO_NEIGHBOURS,
    *,
    at: datetime | None = None,
    is_everything: bool = False,
) -> Message:
    """One line per rollout, newest first; `title` names the list, `find_neighbours` what others mean for each.

    `at` is when it is read: what could have come before then has no date. `is_everything`: there are no others.
    """
    if not rollouts:
        others = "" if is_everything else " See all with /rollout list --all."
        return blocks.build_message(f"{title}: none.", blocks.context(f"Plan one with rollout apply FILE.{others}"))
    newest = list(reversed(rollouts))[:MAX_LISTED]
    around = [find_neighbours(one) for one in newest]
    shown = [headline.render(r, zone, o.place, at, o.after) for r, o in zip(newest, around, strict=True)]
    left = [wording.format_remainder(len(rollouts) - MAX_LISTED)] if len(rollouts) > MAX_LISTED else []
    return blocks.build_message(f"{title}: {len(rollouts)}.", blocks.lines_section([*shown, *left]))


def render_live_versions(world: World) -> Message:
    """The live version of every AI feature, shown when no rollout is under way."""
    if not world.surfaces:
        hint = blocks.context("Apply a surface file first: rollout apply surface.yaml.")
        return blocks.build_message("There are no AI features yet.", hint)
    lines = [
        f"{wording.escape(s.name, 60)}: {wording.escape(s.live, 40)} (content {content_hash(s.live_content)})"
        for s in world.surfaces.values()
    ]
    return blocks.build_message("Live now: every AI feature and its version.", blocks.lines_section(lines))
