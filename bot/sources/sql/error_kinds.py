"""Which kinds of errors have a name: those that were met first and those that come often, the rest are others.

An engine cannot group texts as `core.metrics.error_text` does, so it tells which texts there are, and gets back the
hashes of those that are counted by name.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from bot.sources.sql.named_texts import NamedErrorTexts, hash_text
from core.judging.model.evidence import OTHER_NAME
from core.metrics.error_text import group_error_text
from core.store.observations.pulled_sums import KnownErrorText
from core.store.observations.segment_names import FREQUENT_COUNT, MAX_CATEGORIES, MAX_FREQUENT_CATEGORIES

MAX_TEXTS = 800
"""Texts that may differ in a number or an id, and that are counted by the name of their kind."""
MAX_FREQUENT_TEXTS = 200
"""How many frequent texts are known beyond `MAX_TEXTS`."""
ASKED_TEXTS = 2 * (MAX_TEXTS + MAX_FREQUENT_TEXTS)


def name_texts(
    known: Mapping[str, KnownErrorText], met: Iterable[tuple[str, int]], upto: datetime | None
) -> Mapping[str, KnownErrorText]:
    """The texts that have a name now, by hash: those of `known` keep theirs.

    `met` are (text, rows), the most frequent first. `upto` is how far rows were read before. Once there is no room,
    rows may have been counted among the others: who gets a name after that has it in rows from `upto` on.
    """
    found = dict(known)
    names = {one.name for one in known.values()}
    since = upto if (len(found) >= MAX_TEXTS or len(names) >= MAX_CATEGORIES) else None
    grouped = [(hash_text(text), group_error_text(text), rows) for text, rows in met]
    often: Counter[str] = Counter()
    for _, name, rows in grouped:
        often[name] += rows
    for digits, name, rows in grouped:
        if digits in found:
            continue
        text_room = MAX_TEXTS + (MAX_FREQUENT_TEXTS if rows >= FREQUENT_COUNT else 0)
        name_room = MAX_CATEGORIES + (MAX_FREQUENT_CATEGORIES if often[name] >= FREQUENT_COUNT else 0)
        if len(found) < text_room and (name in names or len(names) < name_room):
            found[digits] = KnownErrorText(name=name, since=since)
            names.add(name)
    return found


def list_named(known: Mapping[str, KnownErrorText]) -> Sequence[NamedErrorTexts]:
    """The texts by name and moment, in a fixed order."""
    hashes: dict[tuple[str, datetime | None], list[str]] = {}
    for digits, one in sorted(known.items()):
        hashes.setdefault((one.name, one.since), []).append(digits)
    return [NamedErrorTexts(name=name, since=since, hashes=tuple(texts)) for (name, since), texts in hashes.items()]


def find_name(named: Sequence[NamedErrorTexts], number: int) -> str:
    """The name under which an engine counted: the number of an entry, or -1 for the others."""
    return named[number].name if number >= 0 else OTHER_NAME
