"""Questions, looks, states and judgements as JSON text. Floats survive the round trip exactly."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from core.judging.look.look import Look
from core.judging.model.judgement import Judgement
from core.judging.model.question import Question
from core.judging.model.state import JudgingState

ENGINE_VERSION = 4
"""Version of the engine. This program cannot recompute verdicts that another engine version recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedLook:
    """One look as it is stored. `question` is None if it is the same as at the previous look."""

    engine: int
    look: Look
    question: Question | None


_QUESTION = TypeAdapter(Question)
_STATE = TypeAdapter(JudgingState)
_JUDGEMENT = TypeAdapter(Judgement)
_RECORDED = TypeAdapter(RecordedLook)
_LOOK = TypeAdapter(Look)


def to_json(value: Question | Look | JudgingState | Judgement) -> str:
    """The value as JSON text; equal values give equal text."""
    match value:
        case Question():
            return _QUESTION.dump_json(value).decode()
        case Look():
            return _LOOK.dump_json(value).decode()
        case JudgingState():
            return _STATE.dump_json(value).decode()
        case Judgement():
            return _JUDGEMENT.dump_json(value).decode()


def recorded_look_to_json(value: RecordedLook) -> str:
    """A recorded look as JSON text, without fields that have their default."""
    return _RECORDED.dump_json(value, exclude_defaults=True).decode()


def load_recorded_look(text: str) -> RecordedLook:
    """Parse a recorded look. Raises ValueError if the text is not one."""
    return _RECORDED.validate_json(text)


def load_question(text: str) -> Question:
    """Parse a recorded question. Raises ValueError if the text is not one."""
    return _QUESTION.validate_json(text)


def load_judgement(text: str) -> Judgement:
    """Parse a recorded judgement. Raises ValueError if the text is not one."""
    return _JUDGEMENT.validate_json(text)
