"""The difference between two texts, word by word: what was kept, removed and added, in reading order."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum

MAX_PAIRS = 1_000_000  # pairs of equal words (or lines) in a passage; with more, it counts as replaced as a whole
# Japanese and Chinese put no spaces between words, so there every character counts as one.
IDEOGRAPHS = "\u3040-\u30ff\u3400-\u9fff"
# A word or a mark with the spaces behind it, so that a run of equal words is one match.
_TOKEN = re.compile(rf"(?:[{IDEOGRAPHS}]|[^\W{IDEOGRAPHS}]+|[^\w\s])[^\S\n]*|[^\S\n]+|\n")


class PieceKind(StrEnum):
    KEPT = "kept"
    REMOVED = "removed"
    ADDED = "added"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPiece:
    """A passage of one kind. All kept and removed pieces in order are the old text, kept and added ones the new."""

    kind: PieceKind
    text: str

    @property
    def word_count(self) -> int:
        """How many words the passage has, without white space and punctuation."""
        return sum(token[0].isalnum() or token[0] == "_" for token in _TOKEN.findall(self.text))


def compare_words(before: str, after: str) -> tuple[TextPiece, ...]:
    """The pieces of both texts. Lines are matched first, then the words of the lines that differ."""
    return tuple(_join_pieces(_compare_lines(before.splitlines(keepends=True), after.splitlines(keepends=True))))


def _compare_lines(before: Sequence[str], after: Sequence[str]) -> Iterator[TextPiece]:
    for kind, old, new in _match(before, after):
        if kind == "equal":
            yield TextPiece(kind=PieceKind.KEPT, text="".join(old))
        else:
            yield from _compare_passages("".join(old), "".join(new))


def _compare_passages(before: str, after: str) -> Iterator[TextPiece]:
    for kind, old, new in _match(_TOKEN.findall(before), _TOKEN.findall(after)):
        if kind == "equal":
            yield TextPiece(kind=PieceKind.KEPT, text="".join(old))
        else:
            yield TextPiece(kind=PieceKind.REMOVED, text="".join(old))
            yield TextPiece(kind=PieceKind.ADDED, text="".join(new))


def _match(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
    """(kind, old, new) of each passage; what both begin and end with is set aside before anything is compared."""
    start = _count_common(before, after)
    end = _count_common(before[start:][::-1], after[start:][::-1])
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    if start:
        yield "equal", before[:start], after[:start]
    if _count_pairs(old, new) > MAX_PAIRS:
        yield "replace", old, new
    elif old or new:
        matcher = SequenceMatcher(None, old, new, autojunk=False)
        for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
            yield kind, old[old_from:old_to], new[new_from:new_to]
    if end:
        yield "equal", before[len(before) - end :], after[len(after) - end :]


def _count_pairs(old: Sequence[str], new: Sequence[str]) -> int:
    """How many pairs of equal words there are: the work of comparing them grows with it."""
    there = Counter(new)
    return sum(count * there[word] for word, count in Counter(old).items())


def _count_common(before: Sequence[str], after: Sequence[str]) -> int:
    return next(
        (i for i, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), min(len(before), len(after))
    )


def _join_pieces(pieces: Iterator[TextPiece]) -> Iterator[TextPiece]:
    """The pieces without empty ones, neighbours of one kind joined, and removed text before the text added for it."""
    removed, added, kept = "", "", ""
    for piece in pieces:
        if not piece.text:
            continue
        if piece.kind is PieceKind.KEPT:
            yield from _flush(removed, added)
            removed, added, kept = "", "", kept + piece.text
            continue
        if kept:
            yield TextPiece(kind=PieceKind.KEPT, text=kept)
            kept = ""
        if piece.kind is PieceKind.REMOVED:
            removed += piece.text
        else:
            added += piece.text
    yield from _flush(removed, added)
    if kept:
        yield TextPiece(kind=PieceKind.KEPT, text=kept)


def _flush(removed: str, added: str) -> Iterator[TextPiece]:
    if removed:
        yield TextPiece(kind=PieceKind.REMOVED, text=removed)
    if added:
        yield TextPiece(kind=PieceKind.ADDED, text=added)
