"""The form in which the four questions of a review are answered, each below what the log says to it."""

import json
from typing import Any

from bot.rendering import wording
from bot.rendering.blocks import blocks, buttons, inputs, modals
from bot.rendering.markup import SLACK
from bot.rendering.numbers.reports import review_words
from core.reviews.draft import ReviewDraft
from core.rollout.decisions.reviewing import QUESTIONS

KEEP = "keep"
MAX_ANSWER_LENGTH = 1000  # characters
_LESSONS = {"worked": "What worked?", "failed": "What did not?", "next_time": "What should be different next time?"}


def build_form(draft: ReviewDraft, zone: str, channel: str = "") -> dict[str, Any]:
    """The modal; it carries the rollout and the channel, and shows earlier answers again."""
    rollout, given = draft.rollout, draft.rollout.review
    asked: list[dict[str, Any]] = []
    for number, question in enumerate(review_words.list_questions(draft, SLACK, zone), start=1):
        asked.append(blocks.section("\n".join(question.lines)))
        asked.append(_build_input(question.name, f"{number}. {question.question}", getattr(given, question.name, "")))
    lessons = [_build_input(name, label, getattr(given, name, ""), optional=True) for name, label in _LESSONS.items()]
    return modals.build_form(
        buttons.WRITE_REVIEW,
        f"Review {rollout.id}",
        [blocks.section(f"*{wording.format_subject(rollout)}*"), *asked, _build_keep_choice(draft), *lessons],
        submit="Save",
        carries=json.dumps({"pressed": buttons.encode_value(rollout.id), "channel": channel}),
    )


def read_answers(view: dict[str, Any]) -> dict[str, str]:
    """The answers of a submitted form, by field of `SubmitReview`."""
    values = view["state"]["values"]
    names = (*QUESTIONS, *_LESSONS)
    return {name: str(values[name][name]["value"] or "") for name in names if name in values}


def keeps_baseline(view: dict[str, Any]) -> bool:
    """Whether the person chose to keep what was measured as the new normal."""
    chosen = view["state"]["values"][KEEP][KEEP]["selected_option"]
    return bool(chosen is not None and chosen["value"] == "yes")


def _build_input(name: str, label: str, given: str, *, optional: bool = False) -> dict[str, Any]:
    return inputs.text_input(
        name, label, initial=given, optional=optional, multiline=True, max_length=MAX_ANSWER_LENGTH
    )


def _build_keep_choice(draft: ReviewDraft) -> dict[str, Any]:
    options = [inputs.build_option("yes", "Yes"), inputs.build_option("no", "No")]
    given = draft.rollout.review
    return {
        "type": "input",
        "block_id": KEEP,
        "label": blocks.plain_text("Keep what was measured as the new normal?", 150),
        "hint": blocks.plain_text("The next plan takes its sample sizes and limits from it.", 150),
        "element": {
            "type": "radio_buttons",
            "action_id": KEEP,
            "options": options,
            "initial_option": options[0 if given is None or given.keeps_baseline else 1],
        },
    }
