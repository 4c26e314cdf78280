"""What happened to every version of a surface, folded from the surface's events: named, live, retired, taken back."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from core.rollout.state.surface import (
    BaselineRecorded,
    LiveMoved,
    OtherModelAnswered,
    RetirementTold,
    SurfaceDeclared,
    SurfaceEvent,
    SurfaceFreed,
    SurfaceTaken,
    VersionNamed,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePeriod:
    """From when to when a version was live, and the rollout that made it so (empty: the surface file)."""

    since: datetime
    until: datetime | None
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionRecord:
    """One version: who named it when, in which rollouts it was planned, when it was live, and how that ended.

    `retired_at` is set while another version that reached everyone has replaced it, `taken_back_at` while it is not
    live because its rollout was rolled back after it had reached everyone.
    """

    name: str
    named_at: datetime
    named_by: str  # actor id
    rollouts: tuple[str, ...] = ()  # ids of the rollouts that introduce it, in order
    live: tuple[LivePeriod, ...] = ()
    retired_at: datetime | None = None
    retired_by: str = ""  # the rollout that replaced it
    taken_back_at: datetime | None = None

    @property
    def is_live(self) -> bool:
        """Whether everyone gets it by default."""
        return bool(self.live) and self.live[-1].until is None


def fold_versions(steps: Iterable[tuple[SurfaceEvent, datetime, str]]) -> Mapping[str, VersionRecord]:
    """Every version by name, in the order of naming, from (event, time, actor id) of one surface in order."""
    records: dict[str, VersionRecord] = {}
    named_in: dict[str, str] = {}  # rollout -> the version it introduces
    for event, at, actor in steps:
        match event:
            case SurfaceDeclared():
                if not records:
                    period = LivePeriod(since=at, until=None, by="")
                    records[event.version] = VersionRecord(
                        name=event.version, named_at=at, named_by=actor, live=(period,)
                    )
            case VersionNamed():
                named_in[event.rollout] = event.version
                known = records.get(event.version) or VersionRecord(name=event.version, named_at=at, named_by=actor)
                rollouts = tuple(dict.fromkeys((*known.rollouts, event.rollout)))
                records[event.version] = replace(known, rollouts=rollouts)
            case LiveMoved():
                _move_live(records, event, is_forward=named_in.get(event.rollout) == event.version)
            case SurfaceTaken() | SurfaceFreed() | BaselineRecorded() | OtherModelAnswered() | RetirementTold():
                pass
            case _:
                assert_never(event)
    return records


def _move_live(records: dict[str, VersionRecord], event: LiveMoved, *, is_forward: bool) -> None:
    """Forward, the version that was live is retired; backward, it is taken back."""
    for name, record in records.items():
        if record.is_live and name != event.version:
            ended = (*record.live[:-1], replace(record.live[-1], until=event.at))
            records[name] = (
                replace(record, live=ended, retired_at=event.at, retired_by=event.rollout)
                if is_forward
                else replace(record, live=ended, taken_back_at=event.at)
            )
    there = records.get(event.version) or VersionRecord(name=event.version, named_at=event.at, named_by="")
    if not there.is_live:
        there = replace(there, live=(*there.live, LivePeriod(since=event.at, until=None, by=event.rollout)))
    records[event.version] = replace(there, retired_at=None, retired_by="", taken_back_at=None)
