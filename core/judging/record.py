"""Questions, looks, states and judgements as JSON text. Floats survive the round trip exactly."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from core.judging.look.look import Look
from core.judging.model.judgement import Judgement
from core.judging.model.question import Question
from core.judging.model.state import JudgingState

ENGINE_VERSION = 11
"""Version of the engine. This program cannot recompute verdicts that another engine version recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedLook:
    """One look as it is stored. `question` is None if it is the same as at the previous look."""

    engine: int
    look: Look
    question: Question | None


@cache
def _adapter(type_: Any) -> TypeAdapter[Any]:
    return TypeAdapter(type_)  # slow to build, and most starts of a process need none


def to_json(value: Question | Look | JudgingState | Judgement) -> str:
    """The value as JSON text; equal values give equal text."""
    kind: Any = type(value)
    return _adapter(kind).dump_json(value, exclude=_exclude_unused(value)).decode()


def _exclude_unused(value: Question | Look | JudgingState | Judgement) -> Any:
    """What is left out where it is not used, as it was not there when the first states were recorded and hashed."""
    match value:
        case JudgingState(judge=None):
            return {"judge"}
        case Judgement():
            state = {"state": {"judge"}} if value.state.judge is None else {}
            return {**state, **({} if value.pending else {"pending": True})}
    return None


def recorded_look_to_json(value: RecordedLook) -> str:
    """A recorded look as JSON text, without fields that have their default."""
    return _adapter(RecordedLook).dump_json(value, exclude_defaults=True).decode()


def load_recorded_look(text: str) -> RecordedLook:
    """Parse a recorded look. Raises ValueError if the text is not one."""
    look: RecordedLook = _adapter(RecordedLook).validate_json(text)
    return look


def load_question(text: str) -> Question:
    """Parse a recorded question. Raises ValueError if the text is not one."""
    question: Question = _adapter(Question).validate_json(text)
    return question


def load_judgement(text: str) -> Judgement:
    """Parse a recorded judgement. Raises ValueError if the text is not one."""
    judgement: Judgement = _adapter(Judgement).validate_json(text)
    return judgement
