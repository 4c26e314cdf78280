"""How a rollout goes forward: its stages, and what stops it from growing."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, TypeAlias

from core.judging.model.verdict import Finding
from core.rollout.plans.layers import LayerSlots


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The rollout started. Plan and limits are frozen from here on, under this fingerprint."""

    TYPE: ClassVar[str] = "rollout.started"
    LATER: ClassVar[tuple[str, ...]] = ("layer",)
    fingerprint: str
    by: str
    layer: LayerSlots | None = None  # the units of a layer that it may touch; None: everybody


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEntered:
    """A stage was entered; `percent` of its audience gets the new version."""

    TYPE: ClassVar[str] = "rollout.stage_entered"
    WRITTEN: ClassVar[tuple[str, ...]] = ("skipped",)
    LATER: ClassVar[tuple[str, ...]] = ("skipped_by",)
    index: int
    name: str
    percent: float
    skipped: str = ""  # why a person skipped the wait, or skipped stages
    skipped_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillFinished:
    """The rollback was rehearsed without traffic; `seconds` is how long it took every process to switch."""

    TYPE: ClassVar[str] = "rollout.drill_finished"
    stage: int
    seconds: float
    ok: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """All growth stopped: because of the engine, a rejected gate, or two people who doubt it. A resume overrides the
    hold by its `key`."""

    TYPE: ClassVar[str] = "rollout.held"
    key: str
    text: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldCleared:
    """The reason for a hold went away by itself, for example because data arrives again."""

    TYPE: ClassVar[str] = "rollout.hold_cleared"
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Paused:
    """A person paused the rollout."""

    TYPE: ClassVar[str] = "rollout.paused"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A person resumed the rollout after a pause or a hold."""

    TYPE: ClassVar[str] = "rollout.resumed"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str
    overrides: str = ""  # key of the hold that is overridden


@dataclass(frozen=True, slots=True, kw_only=True)
class StageExtended:
    """A person gave a stage that could not be decided in time more time. What grows still has to be seen."""

    TYPE: ClassVar[str] = "rollout.stage_extended"
    by: str
    stage: int  # its index
    asked_at: timedelta  # how long it will have held when a person is asked again


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthFrozen:
    """A freeze was declared that covers this rollout: it neither starts nor grows until then."""

    TYPE: ClassVar[str] = "rollout.growth_frozen"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    until: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthUnfrozen:
    """That freeze was ended before its time."""

    TYPE: ClassVar[str] = "rollout.growth_unfrozen"
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """The bake ended: the new version is live."""

    TYPE: ClassVar[str] = "rollout.completed"
    version: str
    retired: str


StageEvent: TypeAlias = (
    Started
    | StageEntered
    | DrillFinished
    | Held
    | HoldCleared
    | Paused
    | Resumed
    | StageExtended
    | GrowthFrozen
    | GrowthUnfrozen
    | Completed
)
