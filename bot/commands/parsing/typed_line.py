"""Normalise typed lines for comparison: the dashes, quotes and spaces that phones and clients insert.

`normalize_characters` keeps every character in its place, so that what is found in its result can be cut out of the
line as typed.
"""

import re

_UNSEEN = dict.fromkeys(
    map(ord, "\u200b\u200c\u200d\u2060\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufe0f")
)
_PLAIN = (
    {chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)}  # full-width letters and signs
    | dict.fromkeys("‐‑‒–—―−", "-")
    | dict.fromkeys("“”„‟«»″", '"')
    | dict.fromkeys("‘’‚‛´′", "'")
    | dict.fromkeys("\u00a0\u202f\u2007\u2009\u3000\t\r\n", " ")
)
_TRANSLATION = str.maketrans(_PLAIN)

_SHORTCODE = re.compile(r":[a-z0-9_+-]+:")
_WORD = re.compile(r"[^\W_]+")
FILLER_WORDS = frozenset(
    {
        "please",
        "pls",
        "plz",
        "now",
        "asap",
        "urgent",
        "urgently",
        "quick",
        "quickly",
        "immediately",
        "fast",
        "right",
        "away",
    }
    | {
        "the",
        "rollout",
        "canary",
        "of",
        "for",
        "on",
        "it",
        "this",
        "that",
        "everything",
        "all",
        "everybody",
        "everyone",
    }
    | {"again", "thanks", "thank", "you", "thx", "ok", "okay", "just", "at", "once"}
)
"""Words that add nothing to a request: they may come before an id, and alone they are not a reason."""


def strip_invisible(typed: str) -> str:
    """The line without invisible characters."""
    return typed.translate(_UNSEEN).strip()


def normalize_characters(line: str) -> str:
    """The line with plain dashes, quotes, spaces and letters, each in its place."""
    return line.translate(_TRANSLATION)


def find_words(line: str) -> list[re.Match[str]]:
    """Every run of letters or digits, in a normalised line or in one as typed."""
    return list(_WORD.finditer(line))


def has_content(text: str) -> bool:
    """Whether the text contains a word that is not a filler; emoji and punctuation are not words."""
    return any(
        w.group().lower() not in FILLER_WORDS for w in find_words(_SHORTCODE.sub(" ", normalize_characters(text)))
    )


def unwrap_mentions(text: str) -> str:
    """The text with Slack's `<@U1|ana>`, `<#C1|support>` and `<https://…>` as they were typed."""
    named = re.sub(r"<([@#])[A-Z0-9]+\|([^>|]+)>", r"\1\2", text)
    named = re.sub(r"<!subteam\^[A-Z0-9]+\|([^>|]+)>", r"\1", named)
    return re.sub(r"<(https?://[^>|]+)(?:\|[^>]*)?>", r"\1", named)


def strip_quotes(text: str) -> str:
    """The text without quotes around all of it, and without a single quote that was opened or closed alone."""
    text = text.strip()
    for mark in ('"', "'"):
        marks = [i for i, c in enumerate(normalize_characters(text)) if c == mark and text[i - 1 : i] != "\\"]
        if len(text) > 1 and marks == [0, len(text) - 1]:
            return text[1:-1].replace(f"\\{mark}", mark).strip()
    marks = [i for i, c in enumerate(normalize_characters(text)) if c == '"']
    if len(marks) == 1 and marks[0] in (0, len(text) - 1):
        text = text.replace(text[marks[0]], "").strip()
    return text
