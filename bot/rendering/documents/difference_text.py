"""Two versions compared in full, with the text of prompts: as rich text for a modal, as plain text, and as JSON."""

from collections.abc import Iterable, Mapping
from typing import Any

from bot.rendering import wording
from bot.rendering.answers.served.version_answers import VersionPair
from bot.rendering.blocks import blocks
from bot.rendering.blocks.blocks import Block
from bot.rendering.sentences import difference_words
from core.versions.content_difference import FieldChange, TextChange
from core.versions.word_difference import PieceKind, TextPiece

CONTEXT_CHARACTERS = 160  # unchanged text that is shown before and after each change
MAX_BLOCKS = 60  # of the modal; Slack allows 100
_BLOCK_CHARACTERS = 2500
_STYLES: Mapping[PieceKind, dict[str, bool]] = {
    PieceKind.KEPT: {},
    PieceKind.REMOVED: {"strike": True},
    PieceKind.ADDED: {"bold": True},
}
_MARKS = {PieceKind.KEPT: ("", ""), PieceKind.REMOVED: ("[-", "-]"), PieceKind.ADDED: ("{+", "+}")}


def build_modal_blocks(pair: VersionPair) -> list[Block]:
    """Everything that differs, within Slack's limits of a modal: removed words struck through, added ones bold."""
    fields = [wording.escape(f"• {_format_field(change)}", 280) for change in pair.difference.fields]
    found = [blocks.section("\n".join(fields[start : start + 10])) for start in range(0, len(fields), 10)]
    for change in pair.difference.texts[:MAX_BLOCKS]:  # each takes two blocks at least
        found.append(blocks.section(f"*{difference_words.describe_text(change)}*"))
        found += _build_rich_text(shorten_kept(change.pieces))
    if pair.difference.texts:
        found.append(blocks.context("Struck through: removed. Bold: added. “…” stands for text that did not change."))
    if len(found) > MAX_BLOCKS:
        left = len(found) - MAX_BLOCKS
        found = [*found[:MAX_BLOCKS], blocks.context(f"{wording.format_remainder(left)} rollout diff shows all of it.")]
    return found or [blocks.section("The two versions have the same content.")]


def _build_rich_text(pieces: Iterable[TextPiece]) -> list[Block]:
    """Rich text blocks with all of the pieces; each holds a few thousand characters."""
    built: list[list[dict[str, Any]]] = [[]]
    room = _BLOCK_CHARACTERS
    for piece in pieces:
        text = piece.text
        while text:
            if room <= 0:
                built.append([])
                room = _BLOCK_CHARACTERS
            part, text = text[:room], text[room:]
            room -= len(part)
            style = _STYLES[piece.kind]
            built[-1].append({"type": "text", "text": part, **({"style": style} if style else {})})
    sections = ({"type": "rich_text_section", "elements": parts} for parts in built if parts)
    return [{"type": "rich_text", "elements": [section]} for section in sections]


def shorten_kept(pieces: tuple[TextPiece, ...]) -> tuple[TextPiece, ...]:
    """The pieces with long unchanged passages cut down to what stands next to a change."""
    shown = []
    for i, piece in enumerate(pieces):
        before = CONTEXT_CHARACTERS if i > 0 else 0
        after = CONTEXT_CHARACTERS if i < len(pieces) - 1 else 0
        if piece.kind is not PieceKind.KEPT or len(piece.text) <= before + after + 3:
            shown.append(piece)
            continue
        start, end = piece.text[:before], piece.text[len(piece.text) - after :]
        shown.append(TextPiece(kind=PieceKind.KEPT, text=f"{start}…{end}"))
    return tuple(shown)


def format_lines(pair: VersionPair) -> list[str]:
    """Everything that differs as lines for a terminal: `[-removed-]` and `{+added+}`, in full."""
    if pair.difference.is_empty:
        return [f"{pair.title}: the same content"]
    lines = [pair.title]
    lines += [f"  {_format_field(change)}" for change in pair.difference.fields]
    for change in pair.difference.texts:
        lines += ["", f"  {difference_words.describe_text(change)}"]
        lines += [f"    {line}" for line in _mark_pieces(change).splitlines()]
    return lines


def _mark_pieces(change: TextChange) -> str:
    marked = []
    for piece in change.pieces:
        start, end = _MARKS[piece.kind]
        marked.append("\n".join(f"{start}{line}{end}" if line else line for line in piece.text.split("\n")))
    return "".join(marked)


def _format_field(change: FieldChange) -> str:
    """A field with its values, as plain text."""
    if change.before is None:
        return f"{change.path} added: {change.after}"
    if change.after is None:
        return f"{change.path} removed (was {change.before})"
    return f"{change.path}: {change.before} -> {change.after}"


def pair_to_json(pair: VersionPair) -> dict[str, Any]:
    """Everything that differs as JSON, with the whole text of every piece."""
    return {
        "surface": pair.surface,
        "from": pair.before,
        "to": pair.after,
        "fields": [{"path": f.path, "before": f.before, "after": f.after} for f in pair.difference.fields],
        "texts": [
            {
                "path": t.path,
                "words_before": t.words_before,
                "words_removed": t.words_removed,
                "words_added": t.words_added,
                "pieces": [{"kind": p.kind.value, "text": p.text} for p in t.pieces],
            }
            for t in pair.difference.texts
        ],
    }
