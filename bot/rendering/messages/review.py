"""The review of a rollout in its thread: the draft with its button, what was answered, and the reminders."""

from dataclasses import asdict
from datetime import datetime

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons
from bot.rendering.blocks.blocks import Block, Message
from bot.rendering.markup import SLACK
from bot.rendering.messages.audience import holdout_words
from bot.rendering.numbers import measure_rows
from bot.rendering.numbers.reports import review_words
from core.reviews.draft import ReviewDraft
from core.rollout.state.events import ReviewSubmitted
from core.rollout.state.model import Rollout


def render(draft: ReviewDraft, zone: str) -> Message:
    """The draft with a button to answer it, or the answers once there are any."""
    submitted = draft.rollout.review
    if submitted is not None:
        return _render_submitted(draft, submitted, zone)
    return blocks.build_message(
        format_first_line(draft, zone),
        *(
            blocks.section(f"*{number}. {asked.question}*\n" + "\n".join(asked.lines))
            for number, asked in enumerate(review_words.list_questions(draft, SLACK, zone), start=1)
        ),
        *_build_holdout(draft),
        blocks.lines_section(_list_shortcuts(draft)),
        blocks.actions(buttons.write_review(draft.rollout)),
        blocks.context(f"{_format_outcome(draft)} · {review_words.count_outcomes(draft)} · drafted from the log"),
    )


def format_first_line(draft: ReviewDraft, zone: str) -> str:
    """State word, subject, what is asked, and until when."""
    rollout = draft.rollout
    if not rollout.needs_review:
        return f"Review: {wording.format_subject(rollout)}, {_format_outcome(draft)}."
    due = f" by {wording.format_local_time(rollout.review_due, zone)}" if rollout.review_due else ""
    return f"Needs review: {wording.format_subject(rollout)}. Please answer four questions (about 3 minutes){due}."


def render_reminder(rollout: Rollout, at: datetime, zone: str) -> Message | None:
    """A reminder to the owner at `at`; None once the review is written."""
    if not rollout.needs_review or rollout.review_due is None:
        return None
    late = at - rollout.review_due
    since = f", {wording.format_duration(late)} late" if late.days >= 1 else ""
    owner = wording.format_actor(rollout.plan.owner, rollout.plan.owner_handle)
    return blocks.build_message(
        f"Needs review: {wording.format_subject(rollout)}{since}. {owner}, please answer its four questions.",
        blocks.actions(buttons.write_review(rollout)),
        blocks.context(f"Was due {wording.format_local_time(rollout.review_due, zone)}. It takes about 3 minutes."),
    )


def _render_submitted(draft: ReviewDraft, submitted: ReviewSubmitted, zone: str) -> Message:
    by = wording.format_actor(submitted.by, submitted.handle)
    answers = asdict(submitted)
    return blocks.build_message(
        f"Reviewed by {by}: {wording.format_subject(draft.rollout)}, {_format_outcome(draft)}.",
        *(
            blocks.section(
                f"*{number}. {asked.question}*\n" + "\n".join((*asked.lines, f"> {_quote(answers[asked.name])}"))
            )
            for number, asked in enumerate(review_words.list_questions(draft, SLACK, zone), start=1)
        ),
        *_build_holdout(draft),
        blocks.lines_section(_list_shortcuts(draft)),
        blocks.lines_section([f"*{heading}:* {_quote(text)}" for heading, text in review_words.list_lessons(answers)]),
        blocks.context(f"{review_words.count_outcomes(draft)} · {_describe_baseline(submitted)}"),
    )


def _build_holdout(draft: ReviewDraft) -> list[Block | None]:
    """What those who were held back showed, with its table; empty where nobody was, or not yet."""
    found = draft.rollout.holdout_result
    if found is None:
        return []
    said = holdout_words.describe_comparison(draft.rollout, found)
    return [blocks.section(f"*{holdout_words.TITLE}*\n{said}"), measure_rows.build_table(found.measures)]


def _list_shortcuts(draft: ReviewDraft) -> list[str]:
    """The shortcuts under a heading of their own; empty if there were none."""
    shortcuts = review_words.describe_shortcuts(draft, SLACK)
    return [f"*Shortcuts ({len(draft.shortcuts)})*", *shortcuts] if shortcuts else []


def _format_outcome(draft: ReviewDraft) -> str:
    if not draft.is_rolled_back:
        return "done"
    rollback = draft.rollout.rollback
    return "rolled back after it was done" if rollback is not None and rollback.after_done else "rolled back"


def _describe_baseline(submitted: ReviewSubmitted) -> str:
    return "kept as the new normal" if submitted.keeps_baseline else "no baseline kept"


def _quote(text: str) -> str:
    return wording.escape(text, 600)
