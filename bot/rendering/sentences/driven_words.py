"""Flags and labels that a rollout drives, in words: their names, where they are, how fast they went back."""

from bot.rendering import wording
from core.rollout.plans.plan import DrivenFlag, Plan
from core.rollout.serving import driving
from core.rollout.state.model import Rollout

MAX_NAMED = 3


def join_titles(plan: Plan) -> str:
    """What the plan drives, by title; empty if it drives nothing. Escaped."""
    return wording.join_limited([wording.escape(one.title, 200) for one in plan.driven], MAX_NAMED)


def format_position(rollout: Rollout, title: str, percent: float) -> str:
    """Where a flag or a label is: `25 %`, or `version 4`."""
    driven = driving.find_driven(rollout, title)
    if driven is None or not driven.is_label:
        return wording.format_percent(percent)
    version = driven.new if percent >= 100 else driven.old
    return f"version {wording.escape(version or '', 40)}"


def list_driven(plan: Plan) -> list[str]:
    """Each with its address; of a label also from where to where it moves, and when."""
    return [_describe(one) for one in plan.driven]


def list_way_back(rollout: Rollout) -> list[str]:
    """For each, how it went back since the rollback: after how many seconds, why not yet, or that it is awaited."""
    return [_describe_way_back(rollout, one) for one in rollout.plan.driven]


def list_failed(rollout: Rollout) -> list[str]:
    """Titles of what could not be set back since the rollback, so far. Escaped."""
    awaited = driving.list_unconfirmed(rollout) if rollout.rollback is not None else ()
    return [wording.escape(title, 200) for title in awaited if title in rollout.flag_troubles]


def list_troubles(rollout: Rollout) -> list[str]:
    """A line for each flag or label that is not where it should be, while that is so."""
    return [_describe_trouble(rollout, one) for one in rollout.plan.driven if one.title in rollout.flag_troubles]


def _describe_trouble(rollout: Rollout, driven: DrivenFlag) -> str:
    wanted, reading = driving.desired_percent(rollout, driven) or 0.0, rollout.flags.get(driven.title)
    known = f", last read at {format_position(rollout, driven.title, reading.percent)}" if reading is not None else ""
    should = format_position(rollout, driven.title, wanted)
    why = wording.escape(rollout.flag_troubles[driven.title], 300)
    return f"*NOT SET*: {wording.escape(driven.title, 200)} should be at {should}{known}: {why}"


def _describe(driven: DrivenFlag) -> str:
    line = f"{wording.escape(driven.title, 200)}, at {wording.escape(driven.url, 200)}"
    if not driven.is_label:
        return line
    when = "with the first people" if driven.moves == "first_stage" else "once everyone has it"
    old, new = wording.escape(driven.old or "", 40), wording.escape(driven.new or "", 40)
    return f"{line}, from version {old} to {new} {when}"


def _describe_way_back(rollout: Rollout, driven: DrivenFlag) -> str:
    title, reading = wording.escape(driven.title, 200), rollout.flags.get(driven.title)
    if reading is not None and reading.percent == 0:
        at = format_position(rollout, driven.title, 0)
        return f"{title} read back at {at} after {wording.format_duration(reading.seconds)}"
    trouble = rollout.flag_troubles.get(driven.title)
    if trouble:
        return f"{title} NOT BACK: {wording.escape(trouble, 300)}"
    return f"{title} not read back yet"
