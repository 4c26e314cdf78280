"""The difference between two versions in words: fields with their values, prompts and other texts only by counts."""

from bot.rendering import wording
from core.versions.content_difference import ContentDifference, FieldChange, TextChange

MAX_IN_LINE = 4  # changes that one line names


def format_in_line(difference: ContentDifference) -> str:
    """Everything that differs, in one line that may stand in a channel; escaped mrkdwn without text of prompts."""
    shown = " · ".join(list_changes(difference, MAX_IN_LINE))
    left = difference.change_count - MAX_IN_LINE
    return f"{shown} {wording.format_remainder(left)}" if left > 0 else shown or "nothing"


def list_changes(difference: ContentDifference, most: int) -> list[str]:
    """One phrase for each of the first `most` changes, as in `prompt: 9 of 18 words removed, 4 added`; escaped, without
    text of prompts."""
    texts = [describe_text(change) for change in difference.texts[:most]]
    return [*texts, *(_describe(change) for change in difference.fields[: most - len(texts)])]


def describe_text(change: TextChange) -> str:
    """How much of a text differs: `prompt: 9 of 18 words removed, 4 added`."""
    path, before = wording.escape(change.path, 80), wording.format_count(change.words_before)
    added, removed = wording.format_count(change.words_added), wording.format_count(change.words_removed)
    if not change.words_before:
        return f"{path}: {wording.pluralize(change.words_added, 'word')} added"
    if change.words_removed:
        more = f", {added} added" if change.words_added else ""
        return f"{path}: {removed} of {wording.pluralize(change.words_before, 'word')} removed{more}"
    if change.words_added:
        return f"{path}: {wording.pluralize(change.words_added, 'word')} added to {before}"
    return f"{path}: punctuation or spacing differs"


def _describe(change: FieldChange) -> str:
    path = wording.escape(change.path, 80)
    before, after = change.before, change.after
    if change.may_hold_prompt:
        return f"{path} {'added' if before is None else 'removed' if after is None else 'changed'}"
    if before is None:
        return f"{path} added" if _is_last_name(change, after) else f"{path} added: {wording.escape(after or '', 60)}"
    if after is None:
        return f"{path} removed"
    return f"{path} {wording.escape(before, 60)} -> {wording.escape(after, 60)}"


def _is_last_name(change: FieldChange, value: str | None) -> bool:
    """Whether the path already ends with the value, as that of a tool which has nothing but a name."""
    return value is not None and change.path.endswith(f".{value}")
