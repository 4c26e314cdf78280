"""The loud message that somebody went on although something was missing, shown in the channel."""

from collections.abc import Callable

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Message
from bot.rendering.sentences import headline
from core.rollout.state.events import GlassBroken
from core.rollout.state.model import Rollout


def render(rollout: Rollout, event: GlassBroken, zone: str, mention: Callable[[str], str]) -> Message:
    """Who went on, why, without what, and by when that is reviewed; the groups that would have approved are
    mentioned."""
    asked = " ".join(mention(group) for group in rollout.plan.approvals.groups)
    owner, due = wording.format_owner(rollout), wording.format_local_time(event.review_due, zone)
    return blocks.build_message(
        f"{describe(rollout, event)}.",
        blocks.section(f"Why: “{wording.escape(event.reason, 1000)}”"),
        blocks.section(headline.render(rollout, zone)),
        blocks.actions(
            buttons.roll_back(rollout) if rollout.is_under_way else None,
            buttons.pause(rollout) if rollout.is_under_way else None,
            buttons.run_command("Details", f"status {rollout.id}"),
        ),
        blocks.context(
            f"{f'{asked}: for your information. ' if asked else ''}Limits are still watched and still act. "
            f"{owner} owes its review by {due}."
        ),
    )


def describe(rollout: Rollout, event: GlassBroken) -> str:
    """`Emergency start (break-glass) by @ana: R-1 support-tone began without 1 more approval`."""
    is_start = event.action == "start"
    kind, what = ("start", "began") if is_start else ("step", "took a step")
    without = f" without {' and '.join(wording.escape(text, 120) for text in event.passed_over)}"
    by = wording.format_actor(event.by)
    left_out = without if event.passed_over else ""
    return f"Emergency {kind} (break-glass) by {by}: {wording.format_subject(rollout)} {what}{left_out}"
