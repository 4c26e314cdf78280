"""Detect soft errors of an answer by rules: what needs no judgement, and what no text in an answer can talk out of."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.shadow_eval.answer_language import is_foreign
from core.shadow_eval.answer_schema import fits_schema

CUT_OFF_REASONS = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
"""Finish reasons by which an answer was cut off."""
REFUSAL_REASONS = frozenset({"refusal"})
_OPENING = 240  # characters in which a refusal is looked for: later on, it is about something else
_GRAM = 6  # words of a run that is repeated
_CJK_GRAM = 12  # characters of one, in texts without spaces
_MIN_REPEATS = 4
_MIN_SHARE = 0.4  # of the text that the repeats of one run cover

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_LINK = re.compile(r"https?://\S", re.IGNORECASE)
_QUOTES = re.compile(r"“[^”]*”|„[^“]*“|«[^»]*»|\"[^\"]*\"")  # what others say
_CANNOT = r"can['’]?t|cannot|can not|won['’]?t|am not able to|am unable to|am not able|am unable"
_REFUSALS = re.compile(
    "|".join(
        (
            rf"\bI['’]?m (?:sorry|afraid)\b[^.!?]{{0,40}}\b(?:{_CANNOT})\b",
            rf"\bI (?:{_CANNOT}|unable to) (?:help|assist|comply|provide|answer|fulfil|do that|discuss|share)\b",
            r"\bI must decline\b",
            r"\bas an AI(?: language)? model,? I (?:can['’]?t|cannot)\b",
            r"\b(?:dabei|damit|hierbei|bei dieser anfrage|leider) kann ich (?:\w+ ){0,2}nicht (?:weiter)?helfen\b",
            r"\bkann ich (?:dir|ihnen|leider|dabei|damit)(?: \w+){0,3} nicht (?:weiter)?helfen\b",
            r"\b(?:tut mir leid|entschuldigung)\b[^.!?]{0,40}\bkann ich\b[^.!?]{0,60}\bnicht\b",
            r"\b(?:je suis désolée?|désolée?)\b[^.!?]{0,40}\bje ne (?:peux|suis)\b",
            r"\bje ne peux pas (?:vous |t['’])?(?:aider|répondre|fournir)\b",
            r"\blo siento\b[^.!?]{0,40}\bno puedo\b",
            r"\bno puedo (?:ayudar|responder|proporcionar)",
            r"\bmi dispiace\b[^.!?]{0,40}\bnon posso\b",
            r"\bnon posso (?:aiutar|rispondere|fornir)",
            r"\b(?:desculpe|lamento|sinto muito)\b[^.!?]{0,40}\bnão posso\b",
            r"\bnão posso (?:ajudar|responder|fornecer)",
            r"\bkan ik (?:je|u) (?:daar|hier)?(?:mee|bij)? ?(?:helaas )?niet (?:mee |bij )?helpen\b",
            r"\bне могу (?:помочь|ответить|предоставить)",
            r"(?:お手伝い|お答え|対応)(?:することは)?できません",
            r"(?:我|抱歉)[^。]{0,12}(?:无法|不能)(?:提供|帮助|回答|协助)",
            r"(?:도와드릴|답변드릴|도움을 드릴) 수 없",
        )
    ),
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerChecks:
    """What an answer is held against: the language that it should be in (empty for any), and its JSON Schema."""

    language: str = ""
    schema: Mapping[str, Any] | None = None


def detect_soft_errors(answer: str, checks: AnswerChecks, finish_reasons: Sequence[str] = ()) -> tuple[str, ...]:
    """The soft errors that rules find in an answer: refusal, empty, truncated, wrong_language, schema_invalid, loop.

    An empty answer is nothing else. What an answer says about itself, or to whoever grades it, changes nothing.
    """
    reasons = {reason.lower() for reason in finish_reasons}
    truncated = ("truncated",) if reasons & CUT_OFF_REASONS else ()
    if not answer.strip() or (checks.schema is None and not re.search(r"\w", answer)):
        return ("empty", *truncated)
    refused = (
        bool(reasons & REFUSAL_REASONS)
        or _REFUSALS.search(_QUOTES.sub(" ", answer[: 4 * _OPENING])[:_OPENING]) is not None
    )
    found = (
        ("refusal", refused),
        ("truncated", bool(truncated)),
        ("wrong_language", bool(checks.language) and is_foreign(answer, checks.language)),
        ("schema_invalid", checks.schema is not None and not fits_schema(answer, checks.schema)),
        ("loop", repeats_itself(answer)),
    )
    return tuple(category for category, is_found in found if is_found)


def read_answer(answer: str, soft_errors: Sequence[str], measure: Mapping[str, str]) -> dict[str, float]:
    """Readings of one answer by metric: 0 or 1 for a soft error, else the number of its words or links."""
    numbers = {"words": float(len(_WORD.findall(answer))), "links": float(len(_LINK.findall(answer)))}
    return {metric: numbers.get(what, float(what in soft_errors)) for metric, what in measure.items()}


def repeats_itself(text: str) -> bool:
    """Whether one run of words comes at least four times and makes up two fifths of the text."""
    words = text.lower().split()
    if len(words) >= _GRAM * _MIN_REPEATS:
        return _covers(words, _GRAM)
    letters = [letter for letter in text if not letter.isspace()]
    return len(words) < len(letters) / 20 and len(letters) >= _CJK_GRAM * _MIN_REPEATS and _covers(letters, _CJK_GRAM)


def _covers(parts: Sequence[str], size: int) -> bool:
    """Whether the non-overlapping repeats of the most frequent run cover enough."""
    runs = Counter(tuple(parts[i : i + size]) for i in range(len(parts) - size + 1))
    run, count = runs.most_common(1)[0]
    if count < _MIN_REPEATS:
        return False
    repeats, place = 0, 0
    while place <= len(parts) - size:
        if tuple(parts[place : place + size]) == run:
            repeats, place = repeats + 1, place + size
        else:
            place += 1
    return repeats >= _MIN_REPEATS and repeats * size >= _MIN_SHARE * len(parts)
