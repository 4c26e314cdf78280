"""Reviews as JSON."""

import json
from typing import Any

from bot.rendering.json.votes import votes_to_json
from bot.rendering.markup import PLAIN
from bot.rendering.numbers.reports import review_words
from core.reviews.draft import ExpectationRow, ReviewDraft
from core.reviews.final_measures import FinalMeasure
from core.reviews.shortcuts import Shortcut
from core.rollout.state.events import HoldoutCompared
from core.rollout.state.model import Rollout
from core.store.formats import codec

Json = dict[str, Any]


def review_to_json(draft: ReviewDraft, zone: str) -> Json:
    """A review: what the log says, question by question, and the answers if there are any. Money is in US$."""
    rollout, cost, given = draft.rollout, draft.cost, draft.rollout.review
    return {
        "rollout": rollout.id,
        "name": rollout.plan.name,
        "outcome": "rolled_back" if draft.is_rolled_back else "done",
        "ended_at": draft.ended_at.isoformat(),
        "due_at": rollout.review_due.isoformat() if rollout.review_due else None,
        "needs_review": rollout.needs_review,
        "questions": [
            {"name": asked.name, "question": asked.question, "from_the_log": list(asked.lines)}
            for asked in review_words.list_questions(draft, PLAIN, zone)
        ],
        "expectations": [_row_to_json(row) for row in draft.rows],
        "behaviour": [_final_to_json(final) for final in draft.behaviour],
        "cost": {
            **_final_to_json(cost.final),
            "per_month": cost.per_month,
            "daily_requests": cost.daily_requests,
            "pace_from": cost.pace_from,
        }
        if cost is not None
        else None,
        "complaints": {
            "metric": _final_to_json(draft.complaints.final) if draft.complaints.final is not None else None,
            "felt_off": draft.complaints.felt_off,
            "concerns": draft.complaints.concerns,
        },
        "testers": votes_to_json(rollout),
        "holdout": _holdout_to_json(rollout),
        "shortcuts": [shortcut_to_json(shortcut) for shortcut in draft.shortcuts],
        "answers": {
            "by": given.by,
            "numbers": given.numbers,
            "unexpected": given.unexpected,
            "behaviour": given.behaviour,
            "cost": given.cost,
            "worked": given.worked,
            "failed": given.failed,
            "next_time": given.next_time,
            "keeps_baseline": given.keeps_baseline,
        }
        if given is not None
        else None,
    }


def shortcut_to_json(shortcut: Shortcut) -> Json:
    """A shortcut: its kind, who took it and why, the stages that it left out, and the position of its event."""
    return {
        "kind": shortcut.kind.value,
        "by": shortcut.by,
        "reason": shortcut.reason,
        "stage": shortcut.stage,
        "skipped": list(shortcut.skipped),
        "at": shortcut.at.isoformat(),
        "position": shortcut.position,
    }


def _row_to_json(row: ExpectationRow) -> Json:
    return {
        "metric": row.metric,
        "expected": review_words.format_expectation(row.expectation) if row.expectation is not None else None,
        "outcome": row.outcome.value,
        "measured": _final_to_json(row.final) if row.final is not None else None,
    }


def _holdout_to_json(rollout: Rollout) -> Json | None:
    """What those who were held back after the end showed, as in the log; None where nobody was, or not yet."""
    found = rollout.holdout_result
    return json.loads(codec.encode(HoldoutCompared(found=found))[2])["found"] if found is not None else None


def _final_to_json(final: FinalMeasure) -> Json:
    measure = final.measure
    return {
        "metric": measure.metric,
        "canary": measure.canary,
        "control": measure.control,
        "difference": measure.difference,
        "bound": {"low": measure.low, "high": measure.high},
        "relative": measure.relative,
        "verdict": measure.word,
        "evidence": final.evidence,
        "position": final.position,
    }
