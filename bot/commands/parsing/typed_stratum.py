"""The stratum that a rollback may name, taken out of its line: `--stratum free`."""

import re
from collections.abc import Iterable
from typing import NamedTuple

_STRATUM = re.compile(
    r"(?<!\S)(?:--?|—|–-?|-–)strat(?:um|a)(?![\w-])\s*[=:]?\s*(?:[\"“”']([^\"“”']*)[\"“”']|([^\s-]\S*))?", re.IGNORECASE
)
_CLOSING = ".,;:!?"
_SEPARATOR = ", "


class NamedStratum(NamedTuple):
    """The name of a stratum as typed (empty if none follows the flag), and the line without it."""

    name: str
    line: str


def take_stratum(line: str) -> NamedStratum | None:
    """The stratum that a line names; None if it names none.

    Only one goes back alone, so several make one name, which no plan has: then everybody goes back.
    """
    found = list(_STRATUM.finditer(line))
    if not found:
        return None
    names = dict.fromkeys(_read_name(one) for one in found)
    starts, ends = [0, *(one.end() for one in found)], [*(one.start() for one in found), len(line)]
    pieces = (line[start:end].strip() for start, end in zip(starts, ends, strict=True))
    return NamedStratum(_SEPARATOR.join(filter(None, names)), " ".join(filter(None, pieces)))


def join_names(name: str, text: str, known: Iterable[str]) -> str:
    """The stratum that is meant if `text` follows it: `free` and `and paid, they complain` are `free, paid`."""
    also = [one for one in known if one.casefold() != name.casefold() and _begins_with(text, one)]
    return _SEPARATOR.join((name, *also))


def _begins_with(text: str, name: str) -> bool:
    following = rf"[\W_]*(?:(?:and|or|plus|und)\b\W*)?{re.escape(name)}(?![\w-])"
    return re.match(following, text, re.IGNORECASE) is not None


def _read_name(found: re.Match[str]) -> str:
    quoted, bare = found.groups()
    return (quoted if quoted is not None else (bare or "").rstrip(_CLOSING)).strip()
