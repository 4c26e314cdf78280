"""What the clock, the engine and deliveries report of a rollout."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from core.judging.model.causes import DifferenceCauses
from core.judging.model.comparison import HoldoutComparison, HorizonComparison
from core.judging.model.judgement import Judgement
from core.judging.model.soft_errors import SoftErrorCounts
from core.judging.model.verdict import BlindSpot, Verdict
from core.shadow_eval.spending import JudgingSpend


@dataclass(frozen=True, slots=True, kw_only=True)
class LookResult:
    """The result of one look of the engine, and where its inputs are stored."""

    # left out of `repr`, by which commands are compared: the digests below stand for it
    judgement: Judgement = field(repr=False)
    first_look: int
    last_look: int
    state_before: str
    looks: str
    state_after: str
    judged_seconds: float | None = None
    blind: tuple[BlindSpot, ...] = ()  # rollback limits whose violation could still have been missed
    caps: Mapping[str, float] = field(default_factory=dict)  # caps that became known with this look, to be frozen
    causes: tuple[DifferenceCauses, ...] = field(default=(), repr=False)  # of the metrics that changed
    soft_errors: tuple[SoftErrorCounts, ...] = field(default=(), repr=False)  # in the current stage
    unwatched: bool = False  # the previous look is so old that the rollout must not grow on this one
    comparison: HorizonComparison | None = None  # at the horizon of a long comparison, and only there
    weekdays: tuple[int, ...] = ()  # of that comparison, as in `ComparisonEnded`
    judging: JudgingSpend | None = None  # what judging answers has cost by then; None if no answers are judged

    @property
    def verdict(self) -> Verdict:
        """The verdict of the judgement."""
        return self.judgement.verdict

    @property
    def stage_requests(self) -> int:
        """Canary requests in the current stage."""
        return self.judgement.canary_requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time has passed. `look` is None if nobody is exposed and there is nothing to judge."""

    look: LookResult | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtEvidence:
    """A look failed: the incoming data cannot be judged, so the rollout must not grow on it."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtComplaints:
    """There are more complaints than is normal at these hours, so the rollout must not grow."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDrill:
    """Record how long the rehearsed rollback took."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmFlip:
    """Record that every process serves the version of the rollback."""

    seconds: float
    processes: int
    unheard: tuple[str, ...] | None = None
    stratum: str = ""  # that was rolled back alone


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtFlip:
    """Record that a rollback could not be confirmed in time."""

    seconds: float
    missing: tuple[str, ...]
    stratum: str = ""  # that was rolled back alone


@dataclass(frozen=True, slots=True, kw_only=True)
class EndDueHoldout:
    """The time of those held back is over, or their version can no longer be called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordHoldout:
    """Record what those who were held back showed against everybody else."""

    found: HoldoutComparison


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveConversations:
    """The time is over in which conversations went on with the version that they began with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPosted:
    """Record where a message was posted in Slack."""

    key: str
    channel: str
    ts: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFailed:
    """Record that a message could not be delivered."""

    key: str
    channel: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFlag:
    """Record that a driven flag or label was read at `percent`, `seconds` after that was decided.

    `rolled_back`: whether the rollback was decided before the reading; an earlier reading says nothing about the
    rollback.
    """

    flag: str  # its title
    percent: float
    before: float
    seconds: float
    rolled_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFlagTrouble:
    """Record that it cannot be set to `percent`; `trying`: it is being retried automatically."""

    flag: str
    percent: float
    error: str
    trying: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFlagLowered:
    """Record that it is at `percent`, below the last percentage that was read back."""

    flag: str
    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRevert:
    """Record that the revert with this index was requested; `reference` leads to it."""

    index: int
    reference: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRevertTrouble:
    """Record that the revert with this index cannot be requested; `trying`: it is being retried automatically."""

    index: int
    error: str
    trying: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAnchors:
    """What a judge said of its anchors in one round; `set_aside` are the readings of each arm since the last good one.

    `verdicts` are by anchor; those that it did not judge are left out of them, not of the number of `anchors`.
    """

    round: int
    began_at: datetime
    verdicts: Mapping[str, bool]
    anchors: int
    labels: Mapping[str, bool] = field(default_factory=dict)
    set_aside: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordJudgingCap:
    """Judging a rollout has cost what it may, in dollars; `judged` counts the judged answers by arm."""

    spent: float
    cap: float
    judged: Mapping[str, int]
