"""The notices of a rollout: which channel gets one, when it was posted, and who has confirmed it."""

from datetime import datetime

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Block, Message
from bot.rendering.messages import plan_facts
from bot.rendering.messages.notices import notice
from core.rollout.state.model import Rollout


def render(rollout: Rollout, zone: str) -> Message:
    """The state of every planned notice, one line per channel."""
    notices = rollout.plan.stakeholder_notices
    if not notices:
        return blocks.build_message(f"Notices for {wording.format_subject(rollout)}: none are planned.")
    sent = sum(rollout.notice_posted_at(n.key) is not None for n in notices)
    return blocks.build_message(
        f"Notices for {wording.format_subject(rollout)}: {sent} of {len(notices)} posted.",
        blocks.lines_section([plan_facts.describe_notice(rollout, n, zone) for n in notices]),
        blocks.context("They go out automatically: on apply, or their lead time before a fixed start."),
    )


def render_preview(rollout: Rollout, title: str, at: datetime, zone: str, *, is_closed: bool) -> Message:
    """Every notice as it would be posted at `at`, without its buttons; `is_closed`: there is no way back by then."""
    shown: list[Block] = []
    for planned in rollout.plan.stakeholder_notices:
        message = notice.render(rollout, planned, title, at, at, zone, is_closed=is_closed)
        shown += [blocks.divider(), blocks.context(f"{wording.escape(planned.channel, 60)} would read:")]
        shown += [b for b in message.blocks if b["type"] != "actions"]
    return blocks.build_message(f"Preview: the notices for {wording.format_subject(rollout)}.", *shown)
