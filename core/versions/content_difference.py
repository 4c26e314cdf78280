"""What differs between two contents: prompts and other long texts word by word, everything else field by field."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from core.rollout.plans.plan import Content
from core.versions.word_difference import IDEOGRAPHS, PieceKind, TextPiece, compare_words

PROMPT = "prompt"
LONG_TEXT = 60  # characters from which a text outside the prompt is compared word by word
_READS_AS_TEXT = re.compile(rf"[\s{IDEOGRAPHS}]")  # Japanese and Chinese put no spaces between words
_REFERENCE = re.compile(r"[\w./:-]+@sha256:[0-9a-f]{6,64}")
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class TextChange:
    """A text that differs. `path` leads to it, as in `prompt` or `tools.refund.description`."""

    path: str
    pieces: tuple[TextPiece, ...]

    @property
    def words_removed(self) -> int:
        """How many words of the old text are gone."""
        return sum(p.word_count for p in self.pieces if p.kind is PieceKind.REMOVED)

    @property
    def words_added(self) -> int:
        """How many words are new."""
        return sum(p.word_count for p in self.pieces if p.kind is PieceKind.ADDED)

    @property
    def words_before(self) -> int:
        """How many words the old text has."""
        return sum(p.word_count for p in self.pieces if p.kind is not PieceKind.ADDED)

    @property
    def rewritten_share(self) -> float:
        """The share of the longer text that is not kept, 0 to 1: a rewrite is close to 1."""
        kept = sum(p.word_count for p in self.pieces if p.kind is PieceKind.KEPT)
        return 1 - kept / max(kept + self.words_removed, kept + self.words_added, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """A value that differs, as text: strings as they are, anything else as JSON. None: it is not there."""

    path: str
    before: str | None
    after: str | None

    @property
    def may_hold_prompt(self) -> bool:
        """Whether a value may be text of a prompt; a reference with a digest is not."""
        values = [value for value in (self.before, self.after) if value is not None]
        if self.path.partition(".")[0].partition("[")[0] == PROMPT:
            return not all(is_reference(value) for value in values)
        return any(_READS_AS_TEXT.search(value) or len(value) > LONG_TEXT for value in values)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentDifference:
    """Everything that differs between two contents, in the order of the parts' names."""

    texts: tuple[TextChange, ...]
    fields: tuple[FieldChange, ...]

    @property
    def is_empty(self) -> bool:
        """Whether the contents are equal."""
        return not self.texts and not self.fields

    @property
    def change_count(self) -> int:
        """How many texts and fields differ."""
        return len(self.texts) + len(self.fields)


def compare_contents(before: Content, after: Content) -> ContentDifference:
    """The difference from `before` to `after`."""
    found = [change for part in sorted({*before, *after}) for change in _compare(part, *_values(before, after, part))]
    return ContentDifference(
        texts=tuple(change for change in found if isinstance(change, TextChange)),
        fields=tuple(change for change in found if isinstance(change, FieldChange)),
    )


def is_reference(value: object) -> bool:
    """Whether a value names a text by its digest, as in `prompts/system.md@sha256:4be1c07d`, instead of holding it."""
    return isinstance(value, str) and _REFERENCE.fullmatch(value) is not None


def _values(before: Mapping[str, Any], after: Mapping[str, Any], key: str) -> tuple[Any, Any]:
    return before.get(key, _ABSENT), after.get(key, _ABSENT)


def _compare(path: str, before: Any, after: Any) -> Iterator[TextChange | FieldChange]:
    if before == after:
        return
    if _is_list(before, after):
        old, new = _as_list(before), _as_list(after)
        named = _name_items(old), _name_items(new)
        if named[0] is not None and named[1] is not None:
            yield from _compare_named(path, named[0], named[1])
        else:
            yield from _compare_by_place(path, old, new)
    elif _is_mapping(before, after):
        old_fields, new_fields = _as_mapping(before), _as_mapping(after)
        for key in {**old_fields, **new_fields}:
            yield from _compare(f"{path}.{key}", *_values(old_fields, new_fields, key))
    elif _is_text(path, before, after):
        pieces = compare_words("" if before is _ABSENT else before, "" if after is _ABSENT else after)
        yield TextChange(path=path, pieces=pieces)
    else:
        yield FieldChange(path=path, before=_format_value(before), after=_format_value(after))


def _compare_named(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[TextChange | FieldChange]:
    """Items that have names of their own, such as tools, wherever they stand in the list."""
    for name in {**old, **new}:
        before, after = _values(old, new, name)
        if before is _ABSENT or after is _ABSENT:
            yield FieldChange(path=f"{path}.{name}", before=_format_value(before), after=_format_value(after))
        else:
            yield from _compare(f"{path}.{name}", before, after)
    kept = [name for name in old if name in new]
    reordered = [name for name in new if name in old]
    if kept != reordered:
        yield FieldChange(path=f"{path} (order)", before=", ".join(kept), after=", ".join(reordered))


def _compare_by_place(path: str, old: Sequence[Any], new: Sequence[Any]) -> Iterator[TextChange | FieldChange]:
    """Items without names, such as the messages of a prompt: those that are equal are matched first."""
    matcher = SequenceMatcher(None, [_format_value(x) for x in old], [_format_value(x) for x in new])
    for kind, old_from, old_to, new_from, new_to in matcher.get_opcodes():
        if kind == "equal":
            continue
        for step in range(max(old_to - old_from, new_to - new_from)):
            before = old[old_from + step] if old_from + step < old_to else _ABSENT
            after = new[new_from + step] if new_from + step < new_to else _ABSENT
            place = old_from + step if after is _ABSENT else new_from + step
            yield from _compare(f"{path}[{place + 1}]", before, after)


def _name_items(items: Sequence[Any]) -> Mapping[str, Any] | None:
    """The items by name; None unless every one has a name and no two have the same."""
    names = [_find_name(item) for item in items]
    if any(name is None for name in names) or len(set(names)) < len(names):
        return None
    return {str(name): item for name, item in zip(names, items, strict=True)}


def _find_name(item: Any) -> str | None:
    if isinstance(item, str):
        return item if item and len(item) <= LONG_TEXT and not re.search(r"\s", item) else None
    if not isinstance(item, Mapping):
        return None
    inner = item.get("function")
    name = item.get("name") or (inner.get("name") if isinstance(inner, Mapping) else None)
    return name if isinstance(name, str) and name else None


def _is_text(path: str, before: Any, after: Any) -> bool:
    """Whether both are texts (or one is missing), and long, or part of a prompt."""
    texts = [value for value in (before, after) if value is not _ABSENT]
    if not all(isinstance(text, str) for text in texts) or any(is_reference(text) for text in texts):
        return False
    inside_prompt = path == PROMPT or (path.startswith((f"{PROMPT}.", f"{PROMPT}[")) and not path.endswith(".role"))
    return inside_prompt or any(len(text) > LONG_TEXT and _READS_AS_TEXT.search(text) for text in texts)


def _is_list(before: Any, after: Any) -> bool:
    values = [value for value in (before, after) if value is not _ABSENT]
    return all(isinstance(value, list | tuple) for value in values)


def _as_list(value: Any) -> Sequence[Any]:
    return () if value is _ABSENT else value


def _is_mapping(before: Any, after: Any) -> bool:
    values = [value for value in (before, after) if value is not _ABSENT]
    return all(isinstance(value, Mapping) for value in values)


def _as_mapping(value: Any) -> Mapping[str, Any]:
    return {} if value is _ABSENT else value


def _format_value(value: Any) -> str | None:
    if value is _ABSENT:
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=dict)
