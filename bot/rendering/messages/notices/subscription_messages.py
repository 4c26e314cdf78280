"""What people read about their subscriptions: that one began or ended, and why they got a direct message."""

from collections.abc import Sequence

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.sentences import headline
from core.rollout.notifications.announcement import Announcement
from core.rollout.state.model import Rollout
from core.rollout.state.surface import Surface
from core.rollout.workspace.subscriptions import Subscriber, Topic

MAX_OPEN = 5


def describe_reason(rollout: Rollout, announcement: Announcement, feature: str) -> str:
    """Why somebody got a direct message, and how to stop them; `feature` is its title as it stands in a sentence."""
    surface = wording.escape(rollout.plan.surface, 60)
    return (
        f"You get this because you follow the {feature} (as {wording.escape(announcement.audience, 20)}). "
        f"Stop: `/rollout unsubscribe {surface}`"
    )


def render_subscribed(
    surface: Surface, audience: str, open_rollouts: Sequence[Rollout], zone: str, *, is_new: bool
) -> Message:
    """That somebody follows an AI feature now, and what is planned or under way on it."""
    title = wording.title_in_sentence(surface.title or surface.name)
    first = f"You {'now follow' if is_new else 'already follow'} the {title} (as {audience})."
    what = (
        "You get a direct message before something changes, when it starts, when watching is over, and at once if it "
        "is switched back."
    )
    lines = [headline.render(rollout, zone) for rollout in open_rollouts[:MAX_OPEN]]
    return blocks.build_message(
        first,
        blocks.section(what),
        blocks.lines_section(["*Planned or under way now*", *lines] if lines else []),
        blocks.actions(buttons.run_command("Unsubscribe", f"unsubscribe {surface.name} as {audience}")),
    )


def render_unsubscribed(ended: Sequence[Topic], left: Sequence[Topic]) -> Message:
    """Which subscriptions ended, and which are left."""
    if not ended:
        left_over = f" You follow {format_topics(left)}." if left else ""
        return blocks.build_message(f"Nothing to stop: you do not follow that.{left_over}")
    still = blocks.context(f"You still follow {format_topics(left)}.") if left else None
    return blocks.build_message(f"You no longer follow {format_topics(ended)}.", still)


def format_topics(topics: Sequence[Topic]) -> str:
    """AI features with their audiences: `support-assistant (as support), search (as marketing)`."""
    return wording.join_limited([f"{wording.escape(t.surface, 60)} (as {t.audience})" for t in topics], 10)


def describe_quiet_hours(person: Subscriber) -> str:
    """`20:00 to 08:00 (Europe/Berlin)`, or that there are none."""
    if person.quiet_from is None or person.quiet_until is None:
        return "none"
    zone = f" ({wording.escape(person.zone, 60)})" if person.zone else ""
    return f"{person.quiet_from:%H:%M} to {person.quiet_until:%H:%M}{zone}"
