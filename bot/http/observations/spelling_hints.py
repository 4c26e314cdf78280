"""Suggests the nearest known name for a misspelt one in a batch of observations."""

from collections.abc import Iterable
from difflib import get_close_matches

from core.flags.evaluation import MAX_UNIT_LENGTH

MAX_HINTS = 20  # per batch


class SpellingHints:
    """Suggests the nearest known name for a misspelt one. A suggestion takes a millisecond and a batch may hold ten
    thousand misspelt names, so only the first `MAX_HINTS` get one."""

    def __init__(self) -> None:
        self._suggestions: dict[str, str] = {}
        self._soft_errors: set[str] = set()

    def is_first(self, soft_error: str) -> bool:
        """Whether this unknown soft error has not been named in this batch yet, and there is room to name it."""
        first = soft_error not in self._soft_errors and len(self._soft_errors) < MAX_HINTS
        self._soft_errors.add(soft_error)
        return first

    def is_near_none(self, word: str, known: Iterable[str]) -> bool:
        """Whether no known name is near this one; False where nobody looks any more."""
        return not self.suggest(word, known) and word in self._suggestions

    def suggest(self, word: str, known: Iterable[str]) -> str:
        """A sentence with the nearest known name, or an empty text."""
        if word not in self._suggestions:
            if len(self._suggestions) >= MAX_HINTS:
                return ""
            close = get_close_matches(word[:MAX_UNIT_LENGTH], tuple(known), n=1)
            self._suggestions[word] = f' Did you mean "{close[0]}"?' if close else ""
        return self._suggestions[word]
