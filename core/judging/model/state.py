"""What the engine carries from one look to the next. Small; a new look needs nothing else from the past."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from core.judging.model.confidence_range import Estimate
from core.judging.model.evidence import CATEGORY_PREFIX
from core.judging.model.verdict import RollBack, Skewed
from core.stats.input_checks import Side

EProcessKind: TypeAlias = Literal["pair", "alone", "fixed", "tail", "onset", "level", "late_level", "clear"]
"""What an e-process tests: canary against control ("pair"), against control's past ("alone"), against a fixed number
("fixed"), the proportion of readings above a mean's cap ("tail"), harm with an unknown onset ("onset"), the level of
a mean's or ratio's new readings ("level", which only harm with an unknown onset uses: "late_level"), or
non-inferiority ("clear")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountTotals:
    """Counts of one metric in both arms: either of one stage up to the last look, or recent ones that decay.

    Of a mean's capped cell, or a ratio, the events are the sum of its values and the trials that of its weights.
    """

    canary_trials: float = 0.0
    canary_events: float = 0.0
    control_trials: float = 0.0
    control_events: float = 0.0


_NO_COUNTS = CountTotals()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlierExcess:
    """By how many events the canary's loudest few buckets exceed the next ones: in the current stage so far, and what
    was added to it recently, with a half-life of five minutes and of thirty. Negative where they fall short."""

    total: float = 0.0
    recent: float = 0.0
    lately: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EProcess:
    """Exact e-process of a criterion (`limit` is its position) since stage `since`.

    `components` are its logs, one per alternative.
    """

    limit: int
    side: Side
    since: int
    part: EProcessKind
    components: tuple[float, ...]
    segment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryEProcess:
    """E-process of the `order`-th new error category. It starts after the category's first event.

    `events` and `trials` count since stage `since`.
    """

    limit: int
    name: str
    order: int
    since: int
    components: tuple[float, ...]
    events: float = 0.0
    trials: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """Thresholds set at the last look, above which the next look counts values, and the counts at that time.

    `clear` marks thresholds of the non-inferiority test.
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
class PastLevel:
    """Control's level over the stages that had one, frozen when control left. `error` is None for quantiles.

    `low` and `high` bound the true level; None when `error` describes the uncertainty. Those of a rate are as wide as
    the present units ask for, if these differ more than control's: `readings` and control's own `design_effect` are
    what they are widened from. Both are None for what is no rate, and in what engine 4 stored.
    """

    value: float
    error: float | None
    low: float | None = None
    high: float | None = None
    readings: float | None = None
    design_effect: float | None = None

    def least_harmful_level(self, side: Side) -> float:
        """The plausible past level that makes harm on this side look smallest."""
        found = self.high if side == "greater" else self.low
        return self.value if found is None else found


@dataclass(frozen=True, slots=True, kw_only=True)
class LastArrival:
    """A metric's readings in the current stage: how many, out of how many requests, and when the last ones came."""

    readings: float
    requests: float
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentScore:
    """Evidence that a criterion is violated in a segment, as of the last look at segments.

    `counted` is the part of `log_e` whose estimate lies beyond the limit; None if there is no such part.
    """

    limit: int
    segment: str
    log_e: float
    counted: float | None
    sight: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitCheck:
    """State of the sample-ratio mismatch test. `since` are the distinct units by `"stage|arm"` when the test last
    restarted, `found` is the open finding, `findings` counts all of them."""

    since: Mapping[str, int] = field(default_factory=dict)
    found: Skewed | None = None
    findings: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingState:
    """State between looks; `JudgingState()` is the state before the first look of any question.

    Keys: `totals` by `"stage|metric"` or `"stage|metric|segment"`, `last_request` by arm, `arrivals` by `"metric|arm"`,
    `taus` by position, `beyond_since` by position or `"position|segment"`, `effects` (design effects), `variances` (of
    one unit of a mean's or ratio's weight), `recent` and `lately` (with a half-life of five minutes, and of thirty) and
    `outliers` by the metric name of the counts.
    """

    looks: int = 0
    totals: Mapping[str, CountTotals] = field(default_factory=dict)
    tracks: tuple[EProcess, ...] = ()
    categories: tuple[CategoryEProcess, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    baselines: Mapping[str, PastLevel] = field(default_factory=dict)
    taus: Mapping[str, float] = field(default_factory=dict)
    beyond_since: Mapping[str, datetime] = field(default_factory=dict)
    stage: int | None = None
    stage_seen: datetime | None = None  # first look at this stage
    exposed_since: datetime | None = None  # first look of the rollout
    seen: datetime | None = None  # last look
    starts: int = 0  # onsets that the onset e-processes allow for, so far
    recent: Mapping[str, CountTotals] = field(default_factory=dict)
    lately: Mapping[str, CountTotals] = field(default_factory=dict)
    outliers: Mapping[str, OutlierExcess] = field(default_factory=dict)
    effects: Mapping[str, float] = field(default_factory=dict)
    variances: Mapping[str, float] = field(default_factory=dict)
    last_request: Mapping[str, datetime] = field(default_factory=dict)  # per arm, in the current stage
    elsewhere: Mapping[str, float] = field(default_factory=dict)  # per arm: the other arm's requests at its last one
    arrivals: Mapping[str, LastArrival] = field(default_factory=dict)  # in the current stage
    kept: tuple[int, ...] = ()  # positions of limits shown to be kept in the current stage; they stay shown
    slots: tuple[str, ...] = ()  # segments that are judged, in the order in which they were chosen
    left_out: int = 0  # segments with requests that are not judged
    segments_seen: datetime | None = None  # last look at segments
    segments: tuple[SegmentScore, ...] = ()
    split: SplitCheck = field(default_factory=SplitCheck)
    rolled_back: RollBack | None = None
    judge: "JudgeTrust | None" = None  # what to go back to if the judge moves; None where no anchors are judged

    def get_total(self, stage: int, metric: str, segment: str = "") -> CountTotals:
        """Counts of a metric in a stage up to the last look; zeros if there are none."""
        return self.totals.get(build_total_key(stage, metric, segment), _NO_COUNTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeNews:
    """What a look is told of the judge: which `metrics` it gives, and how often it was found good and found moved.

    What those metrics showed since it was last found good is set aside whenever it is found moved. While it is
    `doubted`, as it has moved and is not back, its metrics are silent on purpose.
    """

    metrics: tuple[str, ...]
    trusted: int
    voided: int
    doubted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeTrust:
    """How often the judge was found good and found moved by the last look. `kept` is the part of the state that rests
    on its readings, as it was at the first look after it was last found good."""

    trusted: int
    voided: int
    kept: JudgingState


def build_total_key(stage: int, metric: str, segment: str) -> str:
    """Key of a metric in `JudgingState.totals`."""
    return f"{stage}|{metric}|{segment}" if segment else f"{stage}|{metric}"


def is_overall_key(key: str) -> bool:
    """Whether a key of `JudgingState.totals` belongs to no segment.

    Error categories never have a segment, and their names may contain a bar.
    """
    metric = key.partition("|")[2]
    return metric.startswith(CATEGORY_PREFIX) or "|" not in metric
