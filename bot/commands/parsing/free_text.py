"""Parse the line of a verb that takes one free text: take out the flags and keep the rest as typed."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bot.commands.parsing import typed_line

_FLAG = re.compile(r"(?<!\S)(?:--|—|–-|-–|––)([A-Za-z][A-Za-z-]*)(?:=(\"[^\"]*\"|\S*))?(?!\S)|(?<!\S)-([A-Za-z])(?!\S)")
_QUOTED = re.compile(r'"[^"]*"')
DRY_RUN_FLAGS = frozenset({"help", "h", "dry-run", "dryrun", "preview", "no-op", "noop", "check", "simulate"})
"""Flags that ask for no action. A verb that does not know them refuses instead of acting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeText:
    """A line without its flags. `text` may begin with a rollout.

    `flags` are those that the verb has, `unknown` those that it does not have, as typed.
    """

    text: str
    flags: tuple[str, ...]
    unknown: tuple[str, ...]


def split_flags(line: str, known: Collection[str]) -> FreeText:
    """Split a line into flags and text.

    Known flags count anywhere outside of quotes. Unknown ones count as flags only at both ends; inside a sentence they
    are words.
    """
    quoted = [m.span() for m in _QUOTED.finditer(typed_line.normalize_characters(line))]
    found = [m for m in _FLAG.finditer(line) if not _is_inside(quoted, m.start())]
    taken = [m.span() for m in found]
    bare = [word.start() for word in re.finditer(r"\S+", line) if not _is_inside(taken, word.start())]
    flags: list[str] = []
    unknown: list[str] = []
    said, at = "", 0
    for flag in found:
        name = (flag.group(1) or flag.group(3)).lower()
        before = bisect_left(bare, flag.start())
        between = 1 < before < len(bare)
        is_word = flag.group().startswith("—") or between
        if name in known:
            flags.append(name)
        elif is_word and name not in DRY_RUN_FLAGS:
            if not flag.group().startswith("—"):
                unknown.append(flag.group().partition("=")[0])
            continue
        else:
            unknown.append(flag.group().partition("=")[0])
        said += line[at : flag.start()] + (flag.group(2) or "").strip('"')
        at = flag.end()
    return FreeText(text=(said + line[at:]).strip(), flags=tuple(flags), unknown=tuple(unknown))


def _is_inside(spans: Sequence[tuple[int, int]], at: int) -> bool:
    """Whether one of the spans, which are sorted, contains this position."""
    before = bisect_right(spans, at, key=lambda span: span[0])
    return before > 0 and at < spans[before - 1][1]
