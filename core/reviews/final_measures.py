"""The last word on each metric of a rollout: its row from the newest evidence that compared both versions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from core.judging.model.verdict import Measure
from core.rollout.state import events as e
from core.rollout.state.history import HistoryEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class FinalMeasure:
    """A measure, and the evidence it comes from: its number, time, position in the log, and the stage of the plan in
    which it was recorded (-1: before the first)."""

    measure: Measure
    evidence: int
    at: datetime
    position: int
    stage: int = -1

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
    for found in reversed(_list_measures(entries)):
        known = newest.get(found.measure.metric)
        if known is None or (found.is_compared and not known.is_compared):
            newest[found.measure.metric] = found
    return tuple(newest.values())


def _list_measures(entries: Sequence[HistoryEntry]) -> list[FinalMeasure]:
    """Every measure that was recorded, from the oldest to the newest; those of one evidence in reverse."""
    stage, found = -1, []
    for entry in entries:
        match entry.event:
            case e.StageEntered() as event:
                stage = event.index
            case e.EvidenceRecorded() as event:
                found += [
                    FinalMeasure(
                        measure=measure, evidence=event.number, at=entry.at, position=entry.position, stage=stage
                    )
                    for measure in reversed(event.measures)
                ]
    return found
