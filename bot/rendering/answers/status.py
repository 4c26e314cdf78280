"""Status answers: one rollout, a list of rollouts, or the live version of every AI feature."""

from bot.rendering import headline, wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.messages import card
from core.rollout.model import Rollout
from core.rollout.plan import content_hash
from core.rollout.world import World

LISTED = 10


def one(rollout: Rollout, zone: str, newer: card.Newer = None) -> Message:
    """One rollout's status: the content of its card, as a private answer."""
    return blocks.message(
        headline.render(rollout, zone),
        blocks.section(headline.trail(rollout)),
        blocks.lines(card.state_lines(rollout, zone, newer)),
        card.steer(rollout),
        blocks.context(card.footer(rollout)),
    )


def several(rollouts: tuple[Rollout, ...], zone: str, title: str) -> Message:
    """One line per rollout, newest first; `title` names the list."""
    if not rollouts:
        return blocks.message(
            f"{title}: none.", blocks.context("Plan one: rollout apply FILE. Everything: /rollout list --all")
        )
    shown = [headline.render(r, zone) for r in reversed(rollouts)][:LISTED]
    left = [wording.more(len(rollouts) - LISTED)] if len(rollouts) > LISTED else []
    return blocks.message(f"{title}: {len(rollouts)}.", blocks.lines([*shown, *left]))


def versions(world: World) -> Message:
    """The live version of every AI feature, shown when no rollout is under way."""
    lines = [
        f"{wording.escape(s.name, 60)}: {wording.escape(s.live, 40)} (content {content_hash(s.live_content)})"
        for s in world.surfaces.values()
    ]
    return blocks.message("Live now: every AI feature and its version.", blocks.lines(lines))
