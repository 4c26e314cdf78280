"""The stages of a rollout that a source is read for, and how far it is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.flags.placement import MAX_LATENESS
from core.flags.snapshot import StageWindow, TrackedRollout
from core.rollout.state.sources import SourceTerms


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRange:
    """The stages of a rollout that are read together, and the rows that may belong to them: [since, upto)."""

    tracked: TrackedRollout
    stages: frozenset[int]
    since: datetime
    upto: datetime

    @property
    def is_long(self) -> bool:
        """Whether a holdout is read with it, which lasts for months: it is read rarely then."""
        return any(span.is_holdout for span in self.spans)

    @property
    def spans(self) -> Sequence[StageWindow]:
        """The windows of these stages, in order."""
        return [span for span in self.tracked.spans if span.index in self.stages]


def find_open_range(tracked: TrackedRollout, upto: datetime, late: timedelta) -> StageRange | None:
    """The stages to read again: those in which a row may still arrive; None if there is none.

    A stage that is read is read as a whole, so that what it holds is replaced and never added twice. Once cohorts were
    let in, all stages are read, since nobody who was compared in a cohort is compared again. A holdout is read once it
    is over.
    """
    exposing = [
        span
        for span in tracked.spans
        if span.exposes and span.since < upto and not (span.is_holdout and span.until is None)
    ]
    is_open = [span for span in exposing if span.until is None or upto <= span.until + MAX_LATENESS + late]
    if not is_open:
        return None
    chosen = exposing if any(span.cohort for span in exposing) else is_open
    indices = frozenset(span.index for span in chosen)
    since = min(span.since for span in exposing if span.index in indices)
    return StageRange(tracked=tracked, stages=indices, since=since, upto=upto)


def reach(terms: SourceTerms, now: datetime) -> datetime:
    """Up to which moment rows are read now."""
    return now - max(terms.delay, timedelta(0))
