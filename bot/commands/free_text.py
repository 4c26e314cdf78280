"""What stands after a verb that has one free text: flags taken out, the rest as it was typed."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from bot.commands import typed

_FLAG = re.compile(r"(?<!\S)(?:--|—|–-|-–|––)([A-Za-z][A-Za-z-]*)(?:=(\"[^\"]*\"|\S*))?(?!\S)|(?<!\S)-([A-Za-z])(?!\S)")
_QUOTED = re.compile(r'"[^"]*"')
NOTHING_IS_DONE = frozenset({"help", "h", "dry-run", "dryrun", "preview", "no-op", "noop", "check", "simulate"})
"""Flags that ask for nothing to be done: a verb that does not have them does not do its work either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeText:
    """`said` may begin with a rollout; `flags` are those the verb has, `unknown` those it does not, as typed."""

    said: str
    flags: tuple[str, ...]
    unknown: tuple[str, ...]


def read(line: str, known: Collection[str]) -> FreeText:
    """Known flags are heeded wherever they stand outside of quotes. Unknown ones are left out at both ends, where they
    are flags; in the middle of a sentence they are words."""
    quoted = [m.span() for m in _QUOTED.finditer(typed.plain(line))]
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
        elif is_word and name not in NOTHING_IS_DONE:
            if not flag.group().startswith("—"):
                unknown.append(flag.group().partition("=")[0])
            continue
        else:
            unknown.append(flag.group().partition("=")[0])
        said += line[at : flag.start()] + (flag.group(2) or "").strip('"')
        at = flag.end()
    return FreeText(said=(said + line[at:]).strip(), flags=tuple(flags), unknown=tuple(unknown))


def _is_inside(spans: Sequence[tuple[int, int]], at: int) -> bool:
    """Whether one of these spans, in order, holds this place."""
    before = bisect_right(spans, at, key=lambda span: span[0])
    return before > 0 and at < spans[before - 1][1]
