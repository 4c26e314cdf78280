"""The last word on each metric of a rollout: its row from the newest evidence that compared both versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.judging.model.verdict import Measure
from core.rollout.state import events as e
from core.rollout.state.history import HistoryEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalMeasure:
    """A measure, and the evidence it comes from: its number, time and position in the log."""

    measure: Measure
    evidence: int
    at: datetime
    position: int

    @property
    def is_compared(self) -> bool:
        """Whether both versions were measured side by side."""
        return not self.measure.weaker and self.measure.n_canary > 0 and self.measure.n_control > 0


def select_final_measures(entries: Sequence[HistoryEntry]) -> tuple[FinalMeasure, ...]:
    """One row per metric, in the order of the newest evidence.

    Once everybody has the new version, a metric can only be compared with the past; so the row is the newest one with
    both versions side by side, or else the newest one at all.
    """
    newest: dict[str, FinalMeasure] = {}
    for entry in reversed(entries):
        if not isinstance(entry.event, e.EvidenceRecorded):
            continue
        for measure in entry.event.measures:
            found = FinalMeasure(measure=measure, evidence=entry.event.number, at=entry.at, position=entry.position)
            known = newest.get(measure.metric)
            if known is None or (found.is_compared and not known.is_compared):
                newest[measure.metric] = found
    return tuple(newest.values())
