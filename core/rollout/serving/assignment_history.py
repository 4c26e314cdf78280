"""What a surface served, and what one unit got of it, at every moment: from the log and the bucketing alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from core.flags.evaluation import evaluate_bucket
from core.flags.possible_answers import PossibleAnswer, list_possible_answers
from core.flags.snapshot import SurfaceFlags
from core.rollout.serving import exposure
from core.rollout.state import events as e
from core.rollout.state.surface import SurfaceEvent
from core.rollout.state.world import World, fold_events

DECIDING_EVENTS: tuple[type[e.RolloutEvent], ...] = (
    e.Planned,
    e.Started,
    e.StageEntered,
    e.RolledBack,
    e.Completed,
    e.Abandoned,
    e.UnitMovedBack,
    e.StratumRolledBack,
    e.HoldoutEnded,
)
"""The events of a rollout on which it depends who gets what; no other is needed for a history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Interval:
    """From `since` until `until` (None: still)."""

    since: datetime
    until: datetime | None

    def covers(self, at: datetime) -> bool:
        """Whether `at` lies in the interval."""
        return self.since <= at and (self.until is None or at < self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagsInterval(_Interval):
    """What a surface served in an interval. `is_driven`: another flag system assigned the versions, so the bucketing
    says nothing about a unit."""

    flags: SurfaceFlags
    percent: float  # of the stage's audience
    is_driven: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment(_Interval):
    """What one unit got in an interval, in these stages of `rollout`.

    Several `answers` are possible if they depend on attributes that are not known; none if another flag system
    assigned the versions. The answers and `percent` are those of the end of the interval.
    """

    answers: tuple[PossibleAnswer, ...]
    bucket: int | None
    rollout: str
    stages: tuple[int, ...]
    percent: float

    @property
    def version(self) -> str:
        """The name of the version; empty if it is not known."""
        return self.answers[0].answer.version.name if len(self.answers) == 1 else ""


def fold_flags(surface: str, steps: Iterable[tuple[str, e.Event, datetime, int]]) -> tuple[FlagsInterval, ...]:
    """Fold the events (stream, event, time, position) of a surface and of its rollouts into what it served when.

    Of the rollouts only `DECIDING_EVENTS` are needed. The intervals are in order and without gaps.
    """
    world, cached = World(), None
    found: list[FlagsInterval] = []
    for stream, event, at, position in steps:
        if not isinstance(event, (*DECIDING_EVENTS, SurfaceEvent)):
            continue
        world = fold_events(world, ((stream, event, at, position),))
        cached = exposure.build_cached_snapshot(world, cached)
        flags = cached.snapshot.surfaces.get(surface)
        if flags is None:
            continue
        if found:
            before = found.pop()
            if before.since < at:  # several events at once count as the last of them
                found.append(replace(before, until=at))
        found.append(_build_interval(world, flags, at))
    return tuple(found)


def _build_interval(world: World, flags: SurfaceFlags, at: datetime) -> FlagsInterval:
    rollout = world.rollouts[flags.exposure.rollout] if flags.exposure is not None else None
    return FlagsInterval(
        since=at,
        until=None,
        flags=flags,
        percent=rollout.percent if rollout is not None else 100.0,
        is_driven=rollout is not None and bool(rollout.plan.dividing),
    )


def assign_unit(intervals: Sequence[FlagsInterval], unit: str, known: Mapping[str, Any]) -> tuple[Assignment, ...]:
    """What `unit` got in each of these intervals, in order; neighbours in which nothing changed for it are one.

    `known` holds its attributes as far as they are known.
    """
    found: list[Assignment] = []
    for one in intervals:
        assigned = _assign_in_interval(one, unit, known)
        if found and _are_alike(found[-1], assigned):
            before = found.pop()
            earlier = before.stages if before.rollout == assigned.rollout else ()
            stages = tuple(dict.fromkeys((*earlier, *assigned.stages)))
            assigned = replace(assigned, since=before.since, stages=stages)
        found.append(assigned)
    return tuple(found)


def _assign_in_interval(one: FlagsInterval, unit: str, known: Mapping[str, Any]) -> Assignment:
    exposed = one.flags.exposure
    return Assignment(
        since=one.since,
        until=one.until,
        answers=() if one.is_driven else list_possible_answers(one.flags, unit, known),
        bucket=None if one.is_driven else evaluate_bucket(one.flags, unit),
        rollout=exposed.rollout if exposed is not None else "",
        stages=(exposed.stage_index,) if exposed is not None else (),
        percent=one.percent,
    )


def _are_alike(one: Assignment, other: Assignment) -> bool:
    """Whether a person would say that nothing changed for the unit from one interval to the next."""
    if one.version or other.version:
        return one.version == other.version
    return one.rollout == other.rollout and _describe(one) == _describe(other)


def _describe(assigned: Assignment) -> list[tuple[str, str]]:
    return [(a.answer.version.name, a.cohort.name if a.cohort is not None else "") for a in assigned.answers]
