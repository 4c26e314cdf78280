"""The state that is stored with a look: the judgement, what was asked, and how looks are chained to the evidence."""

import json
from dataclasses import asdict, dataclass, fields

from core.judging import record
from core.judging.model.judgement import Judgement
from core.judging.model.question import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedState:
    """What is stored with a look. `judgement` and `question` are JSON, as `core.judging.record` writes them."""

    judgement: str
    question: str
    digest: str  # of the looks since the newest evidence event
    evidence_look: int  # number of the newest look that an evidence event covers
    evidence_state: str  # digest of the engine's state after that look
    shown: str = ""  # digest of everything in the look except its time

    def load_judgement(self) -> Judgement:
        """The judgement of the look."""
        return record.load_judgement(self.judgement)

    def load_question(self) -> Question:
        """The question that the look answers."""
        return record.load_question(self.question)

    def to_json(self) -> str:
        """The text that is stored."""
        return json.dumps(asdict(self))


def parse_saved_state(text: str) -> SavedState:
    """The state from its stored text, whose other fields are ignored. Raises ValueError if that is damaged."""
    kept = json.loads(text)
    return SavedState(**{one.name: kept[one.name] for one in fields(SavedState) if one.name in kept})
