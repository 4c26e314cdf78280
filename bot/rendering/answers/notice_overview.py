"""The notices of a rollout: which channel gets one, when it was posted, and who has confirmed it."""

from datetime import datetime

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Block, Message
from bot.rendering.messages import notice
from core.rollout.model import Rollout
from core.rollout.plan import NoticePlan


def render(rollout: Rollout, zone: str) -> Message:
    """The state of every planned notice, one line per channel."""
    notices = rollout.plan.stakeholder_notices
    if not notices:
        return blocks.build_message(f"Notices for {wording.format_subject(rollout)}: none are planned.")
    sent = sum(rollout.notice_posted_at(n.key) is not None for n in notices)
    return blocks.build_message(
        f"Notices for {wording.format_subject(rollout)}: {sent} of {len(notices)} posted.",
        blocks.lines_section([_format_notice_status(rollout, n, zone) for n in notices]),
        blocks.context("They go out automatically: on apply, or their lead time before a fixed start."),
    )


def _format_notice_status(rollout: Rollout, planned: NoticePlan, zone: str) -> str:
    channel = wording.escape(planned.channel, 60)
    posted = rollout.notice_posted_at(planned.key)
    lead = f", {wording.format_duration(planned.before)} before the start" if planned.before else ""
    if posted is None:
        due = (
            f"due {wording.format_local_time(rollout.start - planned.before, zone)}"
            if rollout.start and planned.before
            else "not yet"
        )
        return f"{channel} ({planned.audience}{lead}): {due}"
    read = rollout.acknowledged.get(planned.key, ())
    who = (
        f"read by {wording.join_limited([wording.escape(r, 40) for r in read])}" if read else "nobody has confirmed yet"
    )
    return f"{channel} ({planned.audience}{lead}): posted {wording.format_local_time(posted, zone)}, {who}"


def render_preview(rollout: Rollout, title: str, at: datetime, zone: str) -> Message:
    """Every notice as it would be posted at `at`, without its buttons."""
    shown: list[Block] = []
    for planned in rollout.plan.stakeholder_notices:
        message = notice.render(rollout, planned, title, at, zone)
        shown += [blocks.divider(), blocks.context(f"{wording.escape(planned.channel, 60)} would read:")]
        shown += [b for b in message.blocks if b["type"] != "actions"]
    return blocks.build_message(f"Preview: the notices for {wording.format_subject(rollout)}.", *shown)
