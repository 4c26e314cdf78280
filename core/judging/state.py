"""What the engine remembers between two looks: small, and all that a look adds to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from core.judging.question import Question
from core.judging.verdict import RollBack
from core.stats.checked import Side

Part: TypeAlias = Literal["pair", "alone", "fixed"]
"""What a track compares with: control beside it, control's past, or a fixed number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Counts of one metric in one stage up to the last look."""

    canary_trials: float = 0.0
    canary_events: float = 0.0
    control_trials: float = 0.0
    control_events: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """An exact e-process of a limit (its position) that began with stage `since`: one log per alternative."""

    limit: int
    side: Side
    since: int
    part: Part
    components: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryTrack:
    """The e-process of the `order`-th new error category, begun after its first event; counts since that stage."""

    limit: int
    name: str
    order: int
    since: int
    components: tuple[float, ...]
    events: float = 0.0
    trials: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Values, set at the last look, above which the next look counts; and what was above them then."""

    limit: int
    side: Side
    stage: int
    metric: str
    canary: float
    control: float
    canary_above: float
    canary_total: float
    control_above: float
    control_total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Control's level in the stages that had one, frozen when control left; `error` None for quantiles."""

    value: float
    error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """`totals` is keyed `"stage|metric"`, `last_request` by arm, `taus` and `beyond_since` by the limit's position."""

    looks: int = 0
    totals: Mapping[str, Total] = field(default_factory=dict)
    tracks: tuple[Track, ...] = ()
    categories: tuple[CategoryTrack, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    taus: Mapping[str, float] = field(default_factory=dict)
    beyond_since: Mapping[str, datetime] = field(default_factory=dict)
    stage: int | None = None
    stage_seen: datetime | None = None  # the first look at this stage
    last_request: Mapping[str, datetime] = field(default_factory=dict)  # per arm, of the stage under way
    rolled_back: RollBack | None = None

    @classmethod
    def start(cls, question: Question) -> "State":
        """Before the first look, whatever is asked: nothing counted, nothing decided."""
        del question
        return cls()

    def total(self, stage: int, metric: str) -> Total:
        """The counts up to the last look; zeros where there were none."""
        return self.totals.get(f"{stage}|{metric}", Total())
