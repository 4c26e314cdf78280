"""What alerts, cards and lines say alike of a rollback: its cause, who did not report, the code, the old version."""

from datetime import datetime

from bot.rendering import wording
from core.rollout.state.events import FlipConfirmed, RollbackExplained, RolledBack
from core.rollout.state.model import Rollout

CAUSES = {
    "answers": "the answers were wrong",
    "slow": "it was too slow",
    "cost": "it cost too much",
    "errors": "there were errors",
    "complaints": "customers complained",
    "test": "it was only a test",
    "other": "of something else",
}
"""Why a person rolled back, in words, by cause."""


def format_explanation(event: RollbackExplained) -> str:
    """The cause in words, with what the person added."""
    added = f"“{wording.escape(event.reason, 300)}”" if event.reason else ""
    if event.cause == "other":
        return f"of {added}"
    cause = CAUSES.get(event.cause, wording.escape(event.cause, 40))
    return f"{cause}: {added}" if added else cause


def format_silent_processes(flip: FlipConfirmed) -> str:
    """Processes that did not report: they serve the old version by rule, without having confirmed it."""
    if not flip.unheard:
        return ""
    names = ", ".join(wording.escape(name, 60) for name in flip.unheard)
    return f"; no report from {names}, which by rule serves the live version by now"


def describe_code(rollout: Rollout) -> str:
    """What a rollback has not undone of the code, and who has to; empty if the rollout ships none."""
    reverts = rollout.plan.reverts
    if not reverts or rollout.rollback is None:
        return ""
    if rollout.code_reverted is not None:
        return f"reverted, as {wording.format_actor(rollout.code_reverted.by)} confirmed"
    parts = ["Flag off now."]
    for index, one in enumerate(reverts):
        title, asked = wording.escape(one.title, 200), rollout.reverts_requested.get(index)
        if asked is not None and one.system == "github":
            parts.append(f"The revert PR {wording.escape(asked.reference, 300)} still needs your pipeline.")
        elif asked is not None:
            parts.append(f"{title} was asked to revert the code and has not confirmed it.")
        elif index in rollout.revert_trouble:
            parts.append(f"{title} could not be reverted: {wording.escape(rollout.revert_trouble[index], 200)}.")
        else:
            parts.append(f"The revert of {title} is being requested.")
    return f"{' '.join(parts)} Once it is deployed: `/rollout reverted {rollout.id}`"


def may_be_retired(rollout: Rollout, event: RolledBack, at: datetime) -> bool:
    """Whether the old version was retired, or may no longer be callable, although everyone is served it."""
    return _is_past_plan(rollout, at) or (event.after_done and rollout.completed_at is not None)


def _is_past_plan(rollout: Rollout, at: datetime) -> bool:
    until = rollout.plan.rollback_until
    return bool(until) and at.date().isoformat() > until


def warn_if_retired(rollout: Rollout, event: RolledBack, at: datetime, zone: str) -> str:
    """A warning if the old version `may_be_retired`; otherwise empty."""
    old = wording.escape(event.version, 40)
    if _is_past_plan(rollout, at):
        past = f"can be called until {wording.escape(rollout.plan.rollback_until, 40)}, which has passed"
        return f"the plan says {old} {past}: check that it still answers"
    if event.after_done and rollout.completed_at is not None:
        since = wording.format_local_time(rollout.completed_at, zone)
        return f"{old} was retired {since}, when {rollout.id} was done: check that it still answers"
    return ""
