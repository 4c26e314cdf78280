"""To and from JSON text, floats exactly: what is recorded is read as it was written."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from core.judging.look.look import Look
from core.judging.model.judgement import Judgement
from core.judging.model.question import Question
from core.judging.model.state import State

ENGINE = 4
"""Which engine judges here: the verdicts of another one cannot be computed again by this program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One look as it is kept; `question` is None where it was asked as at the look before."""

    engine: int
    look: Look
    question: Question | None


_QUESTION = TypeAdapter(Question)
_STATE = TypeAdapter(State)
_JUDGEMENT = TypeAdapter(Judgement)
_RECORDED = TypeAdapter(Recorded)
_LOOK = TypeAdapter(Look)


def dump(value: Question | Look | State | Judgement) -> str:
    """JSON text; equal values give equal text."""
    match value:
        case Question():
            return _QUESTION.dump_json(value).decode()
        case Look():
            return _LOOK.dump_json(value).decode()
        case State():
            return _STATE.dump_json(value).decode()
        case Judgement():
            return _JUDGEMENT.dump_json(value).decode()


def dump_recorded(value: Recorded) -> str:
    """JSON text of a look as it is kept."""
    return _RECORDED.dump_json(value, exclude_defaults=True).decode()


def load_recorded(text: str) -> Recorded:
    """A look as it was kept; ValueError where the text is none."""
    return _RECORDED.validate_json(text)


def load_question(text: str) -> Question:
    """A recorded question; ValueError where the text is none."""
    return _QUESTION.validate_json(text)


def load_judgement(text: str) -> Judgement:
    """A recorded judgement; ValueError where the text is none."""
    return _JUDGEMENT.validate_json(text)
