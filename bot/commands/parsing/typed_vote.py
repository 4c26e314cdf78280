"""What a tester answers in a typed line: the answer, and the words after it."""

import re

from bot.commands.parsing import typed_line

_ANSWERS = {"good": "good", "worse": "worse", "cant": "cant_tell", "withdraw": "withdraw"}
_ANSWER = re.compile(r"[\s\"'*_`]*(good|worse|withdraw|can'?t[\s_-]*tell)\b[\s\"'*_`:,.;!-]*", re.IGNORECASE)


def split_answer(text: str) -> tuple[str, str]:
    """(choice, words) of what follows the rollout: `worse too short` is worse, “too short”.

    The choice is the first word as typed if it is no answer.
    """
    plain = typed_line.normalize_characters(text)
    found = _ANSWER.match(plain)
    if found is None:
        first, _, rest = text.strip().partition(" ")
        return first, rest.strip()
    choice = re.sub(r"[^a-z]", "", found.group(1).lower())
    rest = text[found.end() :].strip()
    return _ANSWERS["cant" if choice.startswith("cant") else choice], rest.strip("\"“”'") if rest else ""
