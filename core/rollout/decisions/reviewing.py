"""When a review is due, and what a submitted one records."""

from datetime import timedelta

from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.refusal import Refused
from core.rollout.state import events as e
from core.rollout.state.model import TERMINAL_STATES, Rollout

REVIEW_WITHIN = timedelta(days=2)
REMINDERS = (timedelta(days=2), timedelta(days=5), timedelta(days=10))
"""How long after its end the owner of a rollout is reminded of its review."""
BREAK_GLASS_MARK = "(before it was tried, by break-glass"
"""Marks, in the recorded reason, that a wait was skipped by break-glass."""
QUESTIONS = {
    "numbers": "Did the numbers match what you expected?",
    "unexpected": "Was anything unexpected?",
    "behaviour": "Do people behave differently?",
    "cost": "Is the cost where you expected it?",
}
"""The four questions, by the field of the answer."""


def add_request(rollout: Rollout | None, events: list[e.RolloutEvent], context: Context) -> list[e.RolloutEvent]:
    """The events, with a request for a review if a rollout that has started ends with them. One in which the glass was
    broken is due as soon as that asks for it."""
    if not any(isinstance(event, e.Completed | e.RolledBack) for event in events):
        return events
    due = context.at + REVIEW_WITHIN
    if rollout is not None and rollout.broken_glass is not None:
        due = max(context.at, min(due, rollout.broken_glass.review_due))
    return [*events, e.ReviewRequested(due_at=due)]


def submit_review(rollout: Rollout, command: c.SubmitReview, context: Context) -> list[e.RolloutEvent]:
    """The review of a rollout that has ended; nothing if the same person has submitted the same before."""
    if rollout.state not in TERMINAL_STATES:
        raise Refused(
            f"{rollout.id} has not ended, so there is nothing to review yet.",
            hint=f"See /rollout status {rollout.id}.",
        )
    if rollout.started_at is None:
        raise Refused(f"{rollout.id} was given up before its start, so there is nothing to review.")
    answers = {name: getattr(command, name).strip() for name in QUESTIONS}
    if missing := [question for name, question in QUESTIONS.items() if not answers[name]]:
        raise Refused(
            f"A review answers four questions. Without an answer: {' '.join(missing)}",
            hint="A few words are enough, even “as expected” or “no”.",
            code="invalid",
        )
    submitted = e.ReviewSubmitted(
        by=context.by.id,
        handle=context.by.name,
        **answers,
        worked=command.worked.strip(),
        failed=command.failed.strip(),
        next_time=command.next_time.strip(),
        keeps_baseline=command.keeps_baseline and command.baseline is not None,
    )
    return [] if submitted == rollout.review else [submitted]
