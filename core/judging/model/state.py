"""What the engine remembers between two looks: small, and all that a look adds to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from core.judging.model.confidence_range import Seen
from core.judging.model.evidence import CATEGORY
from core.judging.model.verdict import RollBack, Skewed
from core.stats.checked import Side

Part: TypeAlias = Literal["pair", "alone", "fixed", "tail", "onset", "clear"]
"""What a track holds: canary beside control, against control's past, against a fixed number, the share of readings
above a mean's cap, harm that began at an unknown time, or that the limit is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """Counts of one metric: in one stage up to the last look, or lately, where every look before weighs half as much
    for each five minutes that have passed."""

    canary_trials: float = 0.0
    canary_events: float = 0.0
    control_trials: float = 0.0
    control_events: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """An exact e-process of a criterion (its position) that began with stage `since`: one log per alternative."""

    limit: int
    side: Side
    since: int
    part: Part
    components: tuple[float, ...]
    segment: str = ""


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
    """Values, set at the last look, above which the next look counts; and what was above them then.

    `clear` is set for the side of the evidence that the limit is kept.
    """

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
    segment: str = ""
    clear: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Control's level in the stages that had one, frozen when control left; `error` None for quantiles.

    `low` and `high` are how far off the value may be, None where the error says it.
    """

    value: float
    error: float | None
    low: float | None = None
    high: float | None = None

    def edge(self, side: Side) -> float:
        """The level at which harm on that side is least, of all that control may have had."""
        found = self.high if side == "greater" else self.low
        return self.value if found is None else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A metric's readings in the stage under way: how many, of how many requests, when the last ones came."""

    readings: float
    requests: float
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentScore:
    """How strongly a criterion is broken in a segment, as of the last look at segments. `counted` is the part of
    `log_e` whose estimate lies beyond the limit, None where none does."""

    limit: int
    segment: str
    log_e: float
    counted: float | None
    sight: Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCheck:
    """The test of how people are split: `since` are the distinct units by stage and arm (`"stage|arm"`) when it began
    anew, `found` the finding that stands, `findings` how many there were."""

    since: Mapping[str, int] = field(default_factory=dict)
    found: Skewed | None = None
    findings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """`State()` is before the first look, whatever is asked. `totals` is keyed `"stage|metric"` or
    `"stage|metric|segment"`, `last_request` by arm, `arrivals` by `"metric|arm"`, `taus` by position, `beyond_since` by
    position or `"position|segment"`, `effects` (design effects) and `recent` by the name that steps are counted under.
    """

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
    exposed_since: datetime | None = None  # the first look at all
    seen: datetime | None = None  # the last look
    starts: int = 0  # of the onset tracks, so far
    recent: Mapping[str, Total] = field(default_factory=dict)
    effects: Mapping[str, float] = field(default_factory=dict)
    last_request: Mapping[str, datetime] = field(default_factory=dict)  # per arm, of the stage under way
    elsewhere: Mapping[str, float] = field(default_factory=dict)  # per arm: the other's requests when its last one came
    arrivals: Mapping[str, Arrival] = field(default_factory=dict)  # of the stage under way
    kept: tuple[int, ...] = ()  # limits that were shown to be kept in the stage under way: once shown, shown
    slots: tuple[str, ...] = ()  # the segments that are judged, in the order in which they were taken up
    left_out: int = 0  # segments that have requests and are not judged
    segments_seen: datetime | None = None  # the last look at segments
    segments: tuple[SegmentScore, ...] = ()
    split: SplitCheck = field(default_factory=SplitCheck)
    rolled_back: RollBack | None = None

    def total(self, stage: int, metric: str, segment: str = "") -> Total:
        """The counts up to the last look; zeros where there were none."""
        return self.totals.get(total_key(stage, metric, segment), Total())


def total_key(stage: int, metric: str, segment: str = "") -> str:
    """The key of `State.totals`."""
    return f"{stage}|{metric}|{segment}" if segment else f"{stage}|{metric}"


def is_everybodys(key: str) -> bool:
    """Whether a key of `State.totals` is of no segment. Categories have none, and may be named with a bar."""
    metric = key.partition("|")[2]
    return metric.startswith(CATEGORY) or "|" not in metric
