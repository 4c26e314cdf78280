"""Whether a line asks for a rollback or only mentions one. A rollback has no syntax: only the verb counts."""

import re

from bot.commands.parsing import typed_line

_BEFORE = (
    r"(?:please|pls|plz|now|asap|urgent(?:ly)?|quick(?:ly)?|immediately|emergency|omg|hey|hi|ok|okay|just|/?rollout)"
)
_FLAG = r"--?[a-z][\w-]*(?:=\S+)?"
_EMOJI = r":[a-z0-9_+-]+:"
_LEAD = rf"(?:[^\w@<#:/-]|{_EMOJI}|(?<!\S){_FLAG}(?!\S)|{_BEFORE}(?![\w-]))*"
_VERB = r"roll[ _-]{0,3}back(?![a-z](?!-?\d))(?!'[a-z])"
_ASKS = re.compile(rf"{_LEAD}{_VERB}", re.IGNORECASE)
_ID_FIRST = re.compile(rf"[^\w@]*(R-?\d{{1,9}})\W+{_VERB}", re.IGNORECASE)
_SPEAKS = re.compile(
    r"roll(?:s|ed|ing)?[ _-]{0,3}back|\brevert|\bundo|"
    r"\b(?:go|going|switch|put|set|bring|take|turn)\b.{0,30}\b(?:back|off)\b",
    re.IGNORECASE,
)
_STOPPING = frozenset(
    {"stop", "abort", "cancel", "kill", "halt", "undo", "revert", "restore"}
    | {"emergency", "panic", "disable", "off", "back", "broken"}
)
_ABOUT_IT = re.compile(
    r"(?:is|was|were|are|has|had|did|does|do|will|would|should|could|can|may|might|must)(?:n'?t)?\b"
    r"|(?:not|never|no|won't|don't|can't|cannot|failed|fails|works|worked|how|what|when|why|who|where|which|whether|if|"
    r"unless|until|till|after|before|once|later|tomorrow|tonight|next|at|in|plan|policy|button|procedure|process|"
    r"instructions|docs|documentation|test|drill|feature|question|status|history|help)\b"
    r"|on (?:mon|tue|wed|thu|fri|sat|sun)",
    re.IGNORECASE,
)
_NOT_NEEDED = re.compile(
    r"(?:(?:is|was)\s+)?(?:not|no longer|never)\s+(?:needed|necessary|required)|isn'?t\s+(?:needed|necessary|required)",
    re.IGNORECASE,
)
_LEADING_ID = re.compile(
    rf"\W*(?:(?:{'|'.join(typed_line.FILLER_WORDS)})\W+)*(?:R[ #-]{{0,2}}\d|#?\d|<?https?:)", re.IGNORECASE
)
_ID = re.compile(r"\W*(?:R[ #-]{0,2})?\d{1,9}", re.IGNORECASE)


def find_rollback_request(line: str) -> str | None:
    """The rest of the line, with the flags before the verb, if it asks for a rollback; None if it does not."""
    plain = typed_line.normalize_characters(line)
    if (found := _ASKS.match(plain)) is not None:
        flags = " ".join(re.findall(rf"(?<!\S){_FLAG}(?!\S)", plain[: found.end()], re.IGNORECASE))
        return f"{flags} {line[found.end() :]}".strip()
    found = _ID_FIRST.match(plain)
    if found is not None and not typed_line.has_content(line[found.end() :]):
        return f"{found.group(1)} {line[found.end() :]}"
    return None


def is_only_mention(rest: str) -> bool:
    """Whether the rest of the line makes it a question or a statement, as in `rollback is not needed`."""
    plain = typed_line.normalize_characters(rest).strip()
    if _LEADING_ID.match(plain):
        after = plain[found.end() :].strip() if (found := _ID.match(plain)) else plain
        return (after.startswith("?") and not typed_line.has_content(after)) or bool(_NOT_NEEDED.match(after))
    return plain.endswith("?") or bool(_ABOUT_IT.match(plain.lstrip(" ,.:;!-")))


def may_mean_rollback(line: str) -> bool:
    """Whether a line that is no command may come from somebody who wants to roll back."""
    plain = typed_line.normalize_characters(line)
    first = next((w.group().lower() for w in typed_line.find_words(plain)), "")
    return first in _STOPPING or bool(_SPEAKS.search(plain)) or bool(re.match(r"[^\w@]*R-?\d", plain, re.IGNORECASE))
