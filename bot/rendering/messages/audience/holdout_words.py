"""Those who keep the previous version after a rollout is done, in plain words, and what they showed."""

from bot.rendering import wording
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Message
from bot.rendering.numbers import measure_rows
from core.judging.model.comparison import Advice, HoldoutComparison
from core.rollout.plans.plan import Plan
from core.rollout.serving import holdout
from core.rollout.state import events as e
from core.rollout.state.model import Rollout

TITLE = "Held back"
_SAID: dict[Advice, str] = {
    "keep": "the new version is as good as agreed, or better, on every measure",
    "go back": "the new version is worse on at least one measure",
    "cannot tell": "the measures do not settle it",
}


def describe_plan(plan: Plan) -> str:
    """Who will be held back, and for how long; empty if nobody is."""
    if plan.holdout is None:
        return ""
    share, lasts = wording.format_percent(plan.holdout.percent), wording.format_duration(plan.holdout.lasts)
    old = wording.escape(plan.from_version, 40)
    return (
        f"{share} of the units keep {old} during this rollout and for {lasts} after it is done; then they get "
        f"{wording.escape(plan.to_version, 40)} and are compared with the others. Another rollout of "
        f"{wording.escape(plan.surface, 60)} ends that when it starts."
    )


def describe_now(rollout: Rollout, zone: str) -> str:
    """Who is held back now and until when, or how it ended; empty before the end of the rollout and without any."""
    plan = rollout.plan
    if plan.holdout is None or rollout.completed_at is None:
        return ""
    due = holdout.find_due(rollout)
    old = wording.escape(plan.from_version, 40)
    if due is not None:
        share = wording.format_percent(plan.holdout.percent)
        return (
            f"{share} keep {old} until {wording.format_local_time(due, zone)}, to be compared. "
            f"To end that now: `/rollout end-holdout {rollout.id}`"
        )
    if rollout.holdout_result is not None:
        return f"{_describe_time(rollout.holdout_result)}, {_SAID[rollout.holdout_result.advice]}."
    return "they get what everyone gets again; their comparison follows within hours."


def describe_end(rollout: Rollout, event: e.HoldoutEnded) -> str:
    """Why it ended, and what those who were held back get now."""
    new = wording.escape(rollout.plan.to_version, 40)
    why = {
        "time": "the agreed time is over",
        "version": f"{wording.escape(rollout.plan.from_version, 40)} can no longer be called",
        "rollout": f"{wording.escape(event.reason, 40)} starts on the same AI feature",
    }.get(event.cause)
    if why is None:
        said = f": “{wording.escape(event.reason, 300)}”" if event.reason else ""
        why = f"{wording.format_actor(event.by)} ended it{said}"
    return f"Nobody is held back any more: {rollout.id}, {why}. Those who were get {new} now; the comparison follows."


def describe_comparison(rollout: Rollout, found: HoldoutComparison) -> str:
    """The result in one sentence; who decides is named where it speaks against the new version."""
    first = f"{_describe_time(found)}, {_SAID[found.advice]}: {rollout.id}"
    bad = [measure_rows.title_in_sentence(m.metric, m.title) for m in found.measures if m.is_bad]
    if not bad:
        return f"{first}."
    return (
        f"{first} ({wording.join_limited(bad)}). Nothing was rolled back: {wording.format_owner(rollout)} decides "
        "whether a new rollout or a rollback follows."
    )


def render_comparison(rollout: Rollout, found: HoldoutComparison) -> Message:
    """The result with its table."""
    return blocks.build_message(
        describe_comparison(rollout, found),
        measure_rows.build_table(found.measures),
        blocks.context(describe_basis(found)),
    )


def describe_basis(found: HoldoutComparison) -> str:
    """What the comparison rests on."""
    return (
        f"{wording.pluralize(found.new_requests, 'request')} of those with the new version, "
        f"{wording.format_count(found.held_requests)} of those held back. The ranges hold together, for one look at "
        "the end; where it was ended early they are a little too sure."
    )


def _describe_time(found: HoldoutComparison) -> str:
    return f"After {wording.format_duration(found.until - found.since)} with a few held back"
