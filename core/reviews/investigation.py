"""What is known about a rollback when somebody asks why: the numbers, their trends, and what else changed meanwhile."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from core.judging.model.verdict import Measure
from core.judging.report.series import SeriesPoint
from core.rollout.state.events import RolledBack
from core.rollout.state.history import HistoryEntry
from core.rollout.state.model import Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherChange:
    """Another rollout that entered a stage while this one was exposed."""

    rollout: Rollout
    stage: str
    percent: float
    audience: str  # the cohort of which that is a share; empty: everyone
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Investigation:
    """A rolled back rollout with what there is to investigate it by.

    `since` is when the first people got the new version. `measures` and `segments` are those of the last look, or of
    the last evidence; `trends` has the looks of each metric that has an agreed limit.
    """

    rollout: Rollout
    event: RolledBack
    since: datetime
    decided_at: datetime
    measures: tuple[Measure, ...]
    segments: tuple[Measure, ...]
    segments_checked: int
    trends: Mapping[str, tuple[SeriesPoint, ...]]
    others: tuple[OtherChange, ...]
    entries: tuple[HistoryEntry, ...]


def begin_investigation(
    rollout: Rollout, entries: Sequence[HistoryEntry], others: Iterable[Rollout]
) -> Investigation | None:
    """The investigation of a rollout without its trends; None unless it was rolled back after people had got it."""
    rolled_back = next((x for x in reversed(entries) if isinstance(x.event, RolledBack)), None)
    exposed = [span.since for span in rollout.spans if rollout.plan.stages[span.index].has_exposure]
    if rolled_back is None or not isinstance(rolled_back.event, RolledBack) or not exposed:
        return None
    evidence = rollout.evidence
    return Investigation(
        rollout=rollout,
        event=rolled_back.event,
        since=exposed[0],
        decided_at=rolled_back.at,
        measures=rollout.measures,
        segments=evidence.segments if evidence is not None else (),
        segments_checked=evidence.segments_checked if evidence is not None else 0,
        trends={},
        others=tuple(_list_changes(others, rollout.id, exposed[0], rolled_back.at)),
        entries=tuple(entries),
    )


def _list_changes(others: Iterable[Rollout], this: str, since: datetime, until: datetime) -> list[OtherChange]:
    """The stages that other rollouts entered in that time, oldest first."""
    found = [
        OtherChange(
            rollout=other,
            stage=other.plan.stages[span.index].name,
            percent=other.plan.stages[span.index].percent,
            audience=other.plan.stages[span.index].audience,
            at=span.since,
        )
        for other in others
        if other.id != this
        for span in other.spans
        if since <= span.since <= until
    ]
    return sorted(found, key=lambda change: change.at)
