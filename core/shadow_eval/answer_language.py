"""Whether an answer is in another language than expected, by its script and by the commonest words."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

MAX_READ = 4_000
"""Characters of an answer that are read for its language."""
MIN_LETTERS = 20
"""Letters below which a text says nothing about its language: names and code are in Latin letters everywhere."""
FOREIGN_SHARE = 0.6
"""Share of the letters in scripts that the expected language does not use, from which on an answer is foreign."""
MIN_COMMON_WORDS = 6
"""Commonest words of another language that an answer holds at least before its words tell anything."""
COMMON_WORDS_FACTOR = 4
"""How many times as many commonest words of another language it holds as of the expected one."""

_SCRIPTS: Mapping[str, frozenset[str]] = {
    "ru": frozenset({"CYRILLIC"}),
    "uk": frozenset({"CYRILLIC"}),
    "el": frozenset({"GREEK"}),
    "ar": frozenset({"ARABIC"}),
    "fa": frozenset({"ARABIC"}),
    "he": frozenset({"HEBREW"}),
    "hi": frozenset({"DEVANAGARI"}),
    "th": frozenset({"THAI"}),
    "ko": frozenset({"HANGUL", "CJK"}),
    "ja": frozenset({"HIRAGANA", "KATAKANA", "CJK", "KATAKANA-HIRAGANA"}),
    "zh": frozenset({"CJK"}),
}
_COMMON_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the and of to is that you it for with are this on be as your not have from can",
        "de": "der die das und ist nicht sie ein eine zu mit den auf für von dem im sich werden ich",
        "fr": "le la les et est des une vous pour dans que pas sur qui avec votre du ce au ne",
        "es": "el la los y es que de en un una por para con su no las del se lo como",
        "it": "il la di che e un una per non con del della sono si le gli nel alla come più",
        "pt": "o a os e é que de em um uma por para com não do da se na no como",
        "nl": "de het een en van is dat niet je op te zijn met voor in aan er uw als ook",
    }.items()
}
KNOWN_LANGUAGES = frozenset(_SCRIPTS) | frozenset(_COMMON_WORDS)
_WORD = re.compile(r"[^\W\d_]+")
_CODE = re.compile(r"```.*?```|`[^`]*`|https?://\S+", re.DOTALL)


def is_foreign(text: str, expected: str) -> bool:
    """Whether the text is clearly in another language than `expected` (a code such as `de`, or `de-AT`).

    A different script is always told. Among languages in Latin letters only those are told apart whose commonest words
    are known, and only in texts of some length. In doubt, and for an unknown language, it is not foreign.
    """
    language = expected.lower().partition("-")[0].partition("_")[0]
    if language not in KNOWN_LANGUAGES:
        return False
    prose = _CODE.sub(" ", text[:MAX_READ])
    scripts = Counter(unicodedata.name(letter, "").partition(" ")[0] for letter in prose if letter.isalpha())
    letters = scripts.total()
    if letters < MIN_LETTERS:
        return False
    used = _SCRIPTS.get(language, frozenset({"LATIN"}))
    if sum(count for script, count in scripts.items() if script not in used) >= FOREIGN_SHARE * letters:
        return True
    return language in _COMMON_WORDS and _has_foreign_words(prose, language)


def _has_foreign_words(prose: str, language: str) -> bool:
    words = Counter(word.lower() for word in _WORD.findall(prose))
    # Words that the expected language has too tell nothing.
    own = _COMMON_WORDS[language]
    hits = {
        other: sum(words[word] for word in common - own) for other, common in _COMMON_WORDS.items() if other != language
    }
    most = max(hits.values())
    return most >= MIN_COMMON_WORDS and most >= COMMON_WORDS_FACTOR * sum(words[word] for word in own)
