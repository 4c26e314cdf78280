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
    told = rollout.plan.told_before
    if not told:
        return blocks.message(f"Notices of {wording.subject(rollout)}: none are planned.")
    sent = sum(rollout.notice_posted(n.key) is not None for n in told)
    return blocks.message(
        f"Notices of {wording.subject(rollout)}: {sent} of {len(told)} posted.",
        blocks.lines([_line(rollout, n, zone) for n in told]),
        blocks.context("They go out by themselves: on apply, or their lead time before a fixed start."),
    )


def _line(rollout: Rollout, planned: NoticePlan, zone: str) -> str:
    channel = wording.escape(planned.channel, 60)
    posted = rollout.notice_posted(planned.key)
    lead = f", {wording.duration(planned.before)} before the start" if planned.before else ""
    if posted is None:
        due = (
            f"due {wording.when(rollout.start - planned.before, zone)}"
            if rollout.start and planned.before
            else "not yet"
        )
        return f"{channel} ({planned.audience}{lead}): {due}"
    read = rollout.acknowledged.get(planned.key, ())
    who = f"read by {wording.listing([wording.escape(r, 40) for r in read])}" if read else "nobody has confirmed yet"
    return f"{channel} ({planned.audience}{lead}): posted {wording.when(posted, zone)}, {who}"


def preview(rollout: Rollout, title: str, at: datetime, zone: str) -> Message:
    """Every notice as it would be posted at `at`, without its buttons."""
    shown: list[Block] = []
    for planned in rollout.plan.told_before:
        told = notice.render(rollout, planned, title, at, zone)
        shown += [blocks.divider(), blocks.context(f"{wording.escape(planned.channel, 60)} would read:")]
        shown += [b for b in told.blocks if b["type"] != "actions"]
    return blocks.message(f"Preview: what is told about {wording.subject(rollout)}.", *shown)
