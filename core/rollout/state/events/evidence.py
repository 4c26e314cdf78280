"""What offline runs, looks and comparisons came to, and whether the judge can be trusted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, TypeAlias

from core.evals.eval_report import EvalReport
from core.judging.model.causes import DifferenceCauses
from core.judging.model.comparison import Advice, HoldoutComparison, MetricCourse
from core.judging.model.soft_errors import SoftErrorCounts
from core.judging.model.verdict import BlindSpot, Finding, Measure, Verdict
from core.shadow_eval.spending import JudgingSpend


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalRecorded:
    """The result of an offline eval run, judged against the gate's terms."""

    TYPE: ClassVar[str] = "rollout.eval_recorded"
    LATER: ClassVar[tuple[str, ...]] = ("report",)
    stage: int
    suite: str
    ok: bool
    passed: int
    failed: int
    errors: int
    reasons: tuple[str, ...]
    cases: tuple[str, ...]  # ids of the cases that the reasons are about
    digest: str  # hash of the rows; detects a run that is submitted twice
    by: str
    report: EvalReport | None = None  # what the run says besides


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceRecorded:
    """The evidence behind a verdict, a step or a summary, with everything needed to compute the verdict again."""

    TYPE: ClassVar[str] = "rollout.evidence_recorded"
    LATER: ClassVar[tuple[str, ...]] = (
        "verdict.number",
        "verdict.source",
        "verdict.why",
        "blind",
        "causes",
        "soft_errors",
        "judging",
        "measures.*.spread",
        "segments.*.spread",
        "exposed_requests",
        "exposed_units",
    )
    number: int
    reason: str  # verdict | step | summary | hold | rollback
    verdict: Verdict
    measures: tuple[Measure, ...]
    canary_requests: int  # like the next three, of the current stage
    control_requests: int
    canary_units: int
    control_units: int
    first_look: int
    last_look: int
    state_before: str  # digest of the engine state before the first look
    looks: str  # digest of the looks from first to last
    state_after: str
    notes: tuple[Finding, ...] = ()  # findings that are reported but hold nothing
    segments: tuple[Measure, ...] = ()  # the segments that stand out, of the `segments_checked` that were examined
    segments_checked: int = 0
    blind: tuple[BlindSpot, ...] | None = (
        None  # limits whose violation could still have been missed; None if there are none
    )
    causes: tuple[DifferenceCauses, ...] | None = None  # of metrics that changed; None if nothing is to be explained
    soft_errors: tuple[SoftErrorCounts, ...] | None = None  # in this stage; None if there were none
    judging: JudgingSpend | None = None  # what judging answers has cost by then; None if no answers are judged
    exposed_requests: int | None = None  # of the new version, in all stages; None: not recorded then
    exposed_units: int | None = None  # at least so many had it


@dataclass(frozen=True, slots=True, kw_only=True)
class BlindSpotsAccepted:
    """A person let the rollout grow although violations of these limits could have been missed. Every later message
    mentions it."""

    TYPE: ClassVar[str] = "rollout.blind_spots_accepted"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    reason: str
    stage: str  # the current stage
    lasting: bool  # True: later stages do not wait for these limits either; False: only this wait was skipped
    spots: tuple[BlindSpot, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TailsFrozen:
    """From here on, readings above the cap count as the cap. `caps` maps each metric to its cap, in the metric's own
    unit."""

    TYPE: ClassVar[str] = "rollout.tails_frozen"
    caps: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonEnded:
    """A long comparison reached its horizon. A person decides on its result; `advice` is what the metrics say.

    `measures` are the metrics that it is decided on, over the whole stage. `weekdays` counts the days with requests of
    both versions, Monday first, in the policy's time zone; empty where days do not matter.
    """

    TYPE: ClassVar[str] = "rollout.comparison_ended"
    LATER: ClassVar[tuple[str, ...]] = ("measures.*.spread",)
    stage: int
    look: int  # the number of the look that it rests on
    advice: Advice
    measures: tuple[Measure, ...]
    courses: tuple[MetricCourse, ...]
    weekdays: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonDecided:
    """A person decided a long comparison: whether to keep the new version, and why."""

    TYPE: ClassVar[str] = "rollout.comparison_decided"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    stage: int
    keep: bool
    advice: Advice  # what the metrics said
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutEnded:
    """From this event on, those who were held back get what everyone gets.

    `cause`: `time` (it is over), `version` (the previous one can no longer be called), `rollout` (another one started
    on the surface; `reason` is its id), or `person`.
    """

    TYPE: ClassVar[str] = "rollout.holdout_ended"
    WRITTEN: ClassVar[tuple[str, ...]] = ("reason",)
    by: str
    cause: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutCompared:
    """What those who were held back show against everybody else, once, after the end of the holdout. Nobody is moved by
    it."""

    TYPE: ClassVar[str] = "rollout.holdout_compared"
    LATER: ClassVar[tuple[str, ...]] = ("found.measures.*.spread",)
    found: HoldoutComparison


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorsJudged:
    """A judge was given its anchors again. `verdicts` are by anchor; those that it did not judge are left out.

    `p` is the smallest p-value of the comparisons with earlier rounds; None if there was nothing to compare. A round is
    complete if enough anchors were judged for it to count, and good if nothing hints that the judge has moved.
    """

    TYPE: ClassVar[str] = "rollout.anchors_judged"
    round: int
    began_at: datetime
    verdicts: Mapping[str, bool]
    anchors: int
    is_complete: bool
    is_good: bool
    p: float | None = None
    labels: Mapping[str, bool] = field(default_factory=dict)  # by anchor: whether people call its answer good


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeMoved:
    """The judge judges the same anchors otherwise than before. What it judged since the last good round is set aside.

    `passes` of `judged` anchors passed in this round, `passes_before` of `judged_before` in the first one. `since` is
    when the last good round ended; `set_aside` the readings of each arm since then.
    """

    TYPE: ClassVar[str] = "rollout.judge_moved"
    round: int
    passes: int
    judged: int
    passes_before: int
    judged_before: int
    p: float
    since: datetime | None
    set_aside: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettled:
    """The judge judges its anchors as before it moved; what it judges from now on counts again."""

    TYPE: ClassVar[str] = "rollout.judge_settled"
    round: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingCapReached:
    """The cap on what judging a rollout may cost is reached, in dollars; nothing more is judged.

    `judged` is how many answers of each arm were judged by then.
    """

    TYPE: ClassVar[str] = "rollout.judging_cap_reached"
    spent: float
    cap: float
    judged: Mapping[str, int]


EvidenceEvent: TypeAlias = (
    EvalRecorded
    | EvidenceRecorded
    | BlindSpotsAccepted
    | TailsFrozen
    | ComparisonEnded
    | ComparisonDecided
    | HoldoutEnded
    | HoldoutCompared
    | AnchorsJudged
    | JudgeMoved
    | JudgeSettled
    | JudgingCapReached
)
