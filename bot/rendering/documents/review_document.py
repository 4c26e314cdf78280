"""A review as a Markdown document, for a wiki or a repository."""

from collections.abc import Sequence
from dataclasses import asdict

from bot.rendering import wording
from bot.rendering.markup import MARKDOWN, escape_markdown, name_actor
from bot.rendering.messages.audience import holdout_words
from bot.rendering.numbers import measure_rows
from bot.rendering.numbers.reports import review_words
from core.reviews.draft import ReviewDraft

HEADER = ("Metric", "Outcome", "New", "Old", "Difference (95 % range)", "Expected")


def render_markdown(draft: ReviewDraft, zone: str) -> str:
    """The whole review: outcome, table of metrics, the four questions with their answers, shortcuts and lessons."""
    rollout, given = draft.rollout, draft.rollout.review
    ended = wording.format_plain_time(draft.ended_at, zone)
    outcome = "rolled back" if draft.is_rolled_back else "done"
    lines = [
        f"# Review of {escape_markdown(f'{rollout.id} {rollout.plan.name}')}",
        "",
        f"{escape_markdown(rollout.plan.surface)}, "
        f"{escape_markdown(f'{rollout.plan.from_version} -> {rollout.plan.to_version}')}, {outcome} {ended}. "
        f"{review_words.count_outcomes(draft).capitalize()}.",
        "",
        _format_status(draft, zone),
        "",
        *_format_table(draft),
    ]
    answers = asdict(given) if given is not None else {}
    for number, asked in enumerate(review_words.list_questions(draft, MARKDOWN, zone), start=1):
        lines += ["", f"## {number}. {asked.question}", "", *(f"- {line}" for line in asked.lines)]
        if answers:
            lines += ["", f"> {escape_markdown(answers[asked.name])}"]
    if rollout.holdout_result is not None:
        found = rollout.holdout_result
        lines += ["", "## Those who were held back", "", escape_markdown(describe_holdout(draft)), ""]
        lines += _format_rows([measure_rows.HEADER, *list_holdout_rows(draft)]) if found.measures else []
    if shortcuts := review_words.describe_shortcuts(draft, MARKDOWN):
        lines += ["", "## Shortcuts", "", *(f"- {line}" for line in shortcuts)]
    for heading, text in review_words.list_lessons(answers):
        lines += ["", f"## {heading}", "", escape_markdown(text)]
    return "\n".join(lines) + "\n"


def _format_status(draft: ReviewDraft, zone: str) -> str:
    given, due = draft.rollout.review, draft.rollout.review_due
    if given is None:
        until = f" by {wording.format_plain_time(due, zone)}" if due is not None else ""
        return f"Needs review{until}: the four questions have no answers yet."
    by = escape_markdown(given.handle or name_actor(given.by))
    kept = "What was measured is the new normal." if given.keeps_baseline else "No baseline was kept."
    return f"Reviewed by {by}. {kept}"


def _format_table(draft: ReviewDraft) -> list[str]:
    return _format_rows([HEADER, *list_rows(draft)]) if draft.rows else ["Nothing was measured."]


def _format_rows(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown; the first row is its header."""
    header, *others = [tuple(escape_markdown(cell) for cell in row) for row in rows]
    return [f"| {' | '.join(row)} |" for row in (header, tuple("---" for _ in header), *others)]


def describe_holdout(draft: ReviewDraft) -> str:
    """What those who were held back showed, in a sentence of plain text; empty where nobody was, or not yet."""
    found = draft.rollout.holdout_result
    if found is None:
        return ""
    said = wording.to_plain_text(holdout_words.describe_comparison(draft.rollout, found))
    return f"{said} {wording.to_plain_text(holdout_words.describe_basis(found))}"


def list_holdout_rows(draft: ReviewDraft) -> list[tuple[str, ...]]:
    """One row of plain text per metric of that comparison, under `measure_rows.HEADER`."""
    found = draft.rollout.holdout_result
    return [tuple(measure_rows.build_row(one)) for one in found.measures] if found is not None else []


def list_rows(draft: ReviewDraft) -> list[tuple[str, ...]]:
    """One row of plain text per metric, under `HEADER`; what is unknown is a dash."""
    found: list[tuple[str, ...]] = []
    for row in draft.rows:
        expected = review_words.format_expectation(row.expectation) if row.expectation is not None else "–"
        what, new, before, moved = measure_rows.metric_title(row.metric), "–", "–", "not measured"
        if row.final is not None:
            cells = measure_rows.build_row(row.final.measure)
            what, new, before, moved = cells.what, cells.new, cells.old, cells.difference
        found.append((what, str(row.outcome), new, before, moved, expected))
    return found
