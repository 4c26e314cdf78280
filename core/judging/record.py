"""To and from JSON text, floats exactly: what is recorded can be judged again to the same bytes."""

from pydantic import TypeAdapter

from core.judging.judge import Judgement
from core.judging.look import Look
from core.judging.question import Question
from core.judging.state import State

_QUESTION = TypeAdapter(Question)
_LOOK = TypeAdapter(Look)
_STATE = TypeAdapter(State)
_JUDGEMENT = TypeAdapter(Judgement)


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


def load_question(text: str) -> Question:
    """A recorded question; ValueError where the text is none."""
    return _QUESTION.validate_json(text)


def load_look(text: str) -> Look:
    """A recorded look; ValueError where the text is none."""
    return _LOOK.validate_json(text)


def load_state(text: str) -> State:
    """A recorded state; ValueError where the text is none."""
    return _STATE.validate_json(text)


def load_judgement(text: str) -> Judgement:
    """A recorded judgement; ValueError where the text is none."""
    return _JUDGEMENT.validate_json(text)
