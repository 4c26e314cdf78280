"""The current state of a rollout, computed from its events, as one immutable value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from core.judging.limits.limits import LimitRole
from core.judging.model.comparison import HoldoutComparison
from core.judging.model.verdict import BlindSpot, Measure
from core.rollout.plans.layers import LayerSlots
from core.rollout.plans.plan import Content, Plan, Stage, changed_parts
from core.rollout.plans.renewal import PlanRenewal
from core.rollout.state.events import (
    ApprovalRequested,
    Approved,
    BlindSpotsAccepted,
    Bundled,
    CodeReverted,
    ComparisonDecided,
    ComparisonEnded,
    EvalRecorded,
    EvidenceRecorded,
    FlagSet,
    FlipConfirmed,
    GlassBroken,
    HoldoutEnded,
    JudgingCapReached,
    RevertRequested,
    ReviewSubmitted,
    RollbackExplained,
    RolledBack,
    VoteCast,
)
from core.rollout.state.judge_check import JudgeCheck


class RolloutState(StrEnum):
    PLANNED = "planned"
    RUNNING = "running"
    WAITING = "waiting"
    ON_HOLD = "on_hold"
    PAUSED = "paused"
    ROLLED_BACK = "rolled_back"
    DONE = "done"
    ABANDONED = "abandoned"


UNDER_WAY_STATES = frozenset({RolloutState.RUNNING, RolloutState.WAITING, RolloutState.ON_HOLD, RolloutState.PAUSED})
TERMINAL_STATES = frozenset({RolloutState.ROLLED_BACK, RolloutState.DONE, RolloutState.ABANDONED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveHold:
    """Why nothing grows. `key` identifies the finding that a resume overrides."""

    key: str
    text: str
    since: datetime


# Without slots, because `replacing.replace` needs `__dict__`.
@dataclass(frozen=True, kw_only=True)
class StageSpan:
    """A stage that was entered, and when it was left; `until` is None for the current stage."""

    index: int
    since: datetime
    until: datetime | None = None
    driven_since: datetime | None = None  # when every flag that divides people was read back at its percentage
    read_back: tuple[str, ...] = ()  # titles of flags and labels that were read back as decided in this stage


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedWait:
    """A step that a person took without waiting. `left_out` names the stages that it jumped over."""

    stage: str  # the stage that was left
    left_out: tuple[str, ...]
    reason: str
    by: str  # a stored actor id; empty in older logs


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedMessage:
    """Where and when a message was posted in Slack."""

    channel: str
    ts: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumRollback:
    """A stratum that was rolled back alone: since when, and how long the switch took, once that is confirmed."""

    at: datetime
    flip: FlipConfirmed | None = None
    flip_doubted: bool = False


# Without slots, because `replacing.replace` needs `__dict__`.
@dataclass(frozen=True, kw_only=True)
class Rollout:
    """A rollout as of its last event: its plan, its state, and what is known so far."""

    id: str
    plan: Plan
    fingerprint: str
    from_content: Content
    to_content: Content
    state: RolloutState
    planned_at: datetime
    planned_by: str
    baseline: str = ""  # the rollout whose baseline filled in the sample sizes
    planners: tuple[str, ...] = ()  # everyone who applied it before it started: the authors of its version
    started_at: datetime | None = None
    ended_at: datetime | None = None
    completed_at: datetime | None = None  # when its version went live for good and the old one was retired
    start: datetime | None = None  # when it starts automatically
    renewal: PlanRenewal | None = None  # why the plan was made again while it waited; None: its file was applied last
    bundle: Bundled | None = None  # with which others it moves; None: with none
    not_followed: frozenset[str] = frozenset()  # rollouts of its bundle with which it could not go back
    live_instead: str = ""  # before the start: the live version, if it is no longer the one the plan starts from
    spans: tuple[StageSpan, ...] = ()
    request: ApprovalRequested | None = None  # the open approval request, if any
    approvals: tuple[Approved, ...] = ()  # the approvals of the open request
    requests_made: int = 0
    acknowledged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # notice key -> handles
    acknowledged_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # notice key -> ids
    hold: ActiveHold | None = None
    paused_at: datetime | None = None
    paused_for: timedelta = timedelta(0)  # in the current stage
    paused_from: RolloutState = RolloutState.RUNNING
    asked_after: timedelta = timedelta(0)  # how long the stage had held when a person last let it continue undecided
    skipped: str = ""  # why a person skipped the wait before the open gate
    skipped_by: str = ""
    skipped_waits: tuple[SkippedWait, ...] = ()
    overridden: frozenset[str] = frozenset()
    evals: Mapping[int, EvalRecorded] = field(default_factory=dict)
    drilled: Mapping[int, float] = field(default_factory=dict)
    evidence: EvidenceRecorded | None = None
    evidence_at: datetime | None = None
    summary_at: datetime | None = None
    measures: tuple[Measure, ...] = ()
    open_concerns: tuple[str, ...] = ()  # keys of the notices under which concerns wait for an answer
    extended_to: timedelta = timedelta(0)  # how long the stage may hold, by a person, before one is asked again
    next_step_reminders: tuple[str, ...] = ()  # ids of people who asked to be told of the next step
    reminders: Mapping[str, str] = field(default_factory=dict)  # id of a person -> key of the notice they read
    felt_off: tuple[str, ...] = ()  # ids of the people who reported that it feels off
    votes: Mapping[int, Mapping[str, VoteCast]] = field(default_factory=dict)  # by stage and voter: the last vote
    judge_check: JudgeCheck = field(default_factory=JudgeCheck)
    judging_cap_reached: JudgingCapReached | None = None
    messages: Mapping[str, PostedMessage] = field(default_factory=dict)
    rollback: RolledBack | None = None
    explanation: RollbackExplained | None = None  # why it was rolled back, as a person said afterwards
    flip: FlipConfirmed | None = None
    flip_doubted: bool = False
    reverts_requested: Mapping[int, RevertRequested] = field(default_factory=dict)  # by index into `plan.reverts`
    revert_trouble: Mapping[int, str] = field(default_factory=dict)  # why it could not be requested
    code_reverted: CodeReverted | None = None
    # the last reading of each driven flag and label, by title; after a rollback, only readings since
    flags: Mapping[str, FlagSet] = field(default_factory=dict)
    flag_troubles: Mapping[str, str] = field(default_factory=dict)  # why it could not be set since that reading
    comparisons: Mapping[int, ComparisonEnded] = field(default_factory=dict)  # by stage: long comparisons that ended
    decisions: Mapping[int, ComparisonDecided] = field(default_factory=dict)  # by stage: what people decided on them
    accepted: tuple[BlindSpotsAccepted, ...] = ()  # blind spots that people accepted
    # rollback limits of which, at some look, harm of twice the limit would have been detected
    sighted: frozenset[str] = frozenset()
    caps: Mapping[str, float] = field(default_factory=dict)  # metric -> the value at which readings are capped
    complaints: Mapping[str, int] = field(default_factory=dict)  # arm (empty: unknown) -> reports by people
    moved_back: Mapping[str, datetime] = field(default_factory=dict)  # hash of a unit -> when a person moved it back
    strata_back: Mapping[str, StratumRollback] = field(default_factory=dict)  # by name: those that went back alone
    conversations_moved_at: datetime | None = None  # since then those under way get what everyone gets
    frozen_until: datetime | None = None  # by a declared freeze; not those of the policy
    broken_glass: GlassBroken | None = None  # the last time that somebody went on although something was missing
    review_due: datetime | None = None  # since it ended; None in logs from before reviews
    review: ReviewSubmitted | None = None
    holdout_ended: HoldoutEnded | None = None  # how the time of those held back ended; None: not yet
    holdout_ended_at: datetime | None = None
    holdout_result: HoldoutComparison | None = None
    layer: LayerSlots | None = None  # the units that it may touch until it is done; None: all of them

    @property
    def stage_index(self) -> int:
        """Index into the plan's stages; -1 before the start."""
        return self.spans[-1].index if self.spans else -1

    @property
    def stage(self) -> Stage | None:
        """The current stage; None before the start."""
        return self.current_stage if self.spans else None

    @property
    def current_stage(self) -> Stage:
        """The current stage of a rollout that has started; IndexError before the start."""
        return self.plan.stages[self.spans[-1].index]

    @property
    def next_stage(self) -> Stage | None:
        """The stage after the current one; None in the last one."""
        following = self.stage_index + 1
        return self.plan.stages[following] if following < len(self.plan.stages) else None

    @property
    def percent(self) -> float:
        """The share of the stage's audience on the new version, 0 to 100."""
        if self.state in UNDER_WAY_STATES and self.stage is not None:
            return self.stage.percent
        return 100.0 if self.state is RolloutState.DONE else 0.0

    @property
    def reach(self) -> float:
        """The share of all users that it may touch, 0 to 1: less than 1 until it is done in a layer."""
        return self.layer.share if self.layer is not None and self.state is not RolloutState.DONE else 1.0

    @property
    def held_percent(self) -> float:
        """The share of all users that is held back by its plan, 0 to 100."""
        return self.plan.holdout.percent if self.plan.holdout is not None else 0.0

    def cap_by_holdout(self, percent: float) -> float:
        """A share of its users, 0 to 100, without those who are held back: they are the last ones to get it."""
        return min(percent, 100 - self.held_percent)

    @property
    def leaves_some_out(self) -> bool:
        """Whether some keep the old version even in a stage of 100 %: outside of its layer, held back, or of a stratum
        that went back alone."""
        is_partial = self.reach < 1 or bool(self.held_percent)
        return is_partial or (self.is_under_way and bool(self.strata_back))

    @property
    def is_with_everyone(self) -> bool:
        """Whether it is in a stage of 100 % that is open to everybody; `leaves_some_out` says if a few are left out."""
        stage = self.stage
        return (
            self.is_under_way and stage is not None and stage.percent >= 100 and not stage.audience and self.reach == 1
        )

    @property
    def is_looked_at(self) -> bool:
        """Whether looks are made: from the first exposure until the rollout ends."""
        return self.is_under_way and any(self.plan.stages[span.index].has_exposure for span in self.spans)

    @property
    def was_exposed(self) -> bool:
        """Whether anyone ever got the new version."""
        return any(self.plan.stages[span.index].has_exposure for span in self.spans)

    @property
    def is_under_way(self) -> bool:
        """Whether it has started and not ended."""
        return self.state in UNDER_WAY_STATES

    @property
    def needs_review(self) -> bool:
        """Whether it has ended and its review is not written yet."""
        return self.review_due is not None and self.review is None

    @property
    def kind(self) -> str:
        """The parts that change, computed from the contents: `prompt`, `model + tools`, …"""
        return " + ".join(changed_parts(self.from_content, self.to_content)) or "nothing"

    @property
    def stage_since(self) -> datetime | None:
        """When the current stage was entered; None before the start."""
        return self.spans[-1].since if self.spans else None

    @property
    def next_step_at(self) -> datetime | None:
        """When it starts, or could take its next step at the earliest; None if no date is set, or nothing follows."""
        if self.state is RolloutState.PLANNED:
            return self.start
        if self.state not in {RolloutState.RUNNING, RolloutState.WAITING} or self.next_stage is None:
            return None
        return self.spans[-1].since + self.current_stage.min_hold + self.paused_for

    def held_for(self, at: datetime) -> timedelta:
        """How long the current stage has held at `at`, without the time it was paused."""
        if not self.spans:
            return timedelta(0)
        paused = self.paused_for + (at - self.paused_at if self.paused_at else timedelta(0))
        return at - self.spans[-1].since - paused

    @property
    def accepted_limit_keys(self) -> frozenset[str]:
        """Keys of the limits whose blind spots were accepted for later stages, too."""
        return frozenset(spot.key for one in self.accepted if one.lasting for spot in one.spots)

    def detectable_limit_keys(self, blind: tuple[BlindSpot, ...]) -> frozenset[str]:
        """Keys of the rollback limits whose violation would have been detected, now or earlier.

        Evidence accumulates, so a limit stays in once it is no longer among the `blind` spots of a look.
        """
        if self.stage is None or not self.stage.is_compared:
            return self.sighted
        limits = {f"{x.metric}:{x.kind.value}" for x in self.plan.limits if x.can_act and x.role is LimitRole.ROLLBACK}
        return self.sighted | (limits - {spot.key for spot in blind})

    def notice_posted_at(self, key: str) -> datetime | None:
        """When the notice with this key reached Slack; None if it has not, or only for an earlier plan."""
        posted = self.messages.get(f"notice:{self.fingerprint}:{key}")
        return posted.at if posted else None

    @property
    def channel_ids(self) -> Mapping[str, str]:
        """Channel ids by channel name as written in the plan; only channels where a notice was posted."""
        return {k.rpartition(":")[2]: p.channel for k, p in self.messages.items() if k.startswith("notice:")}

    @property
    def missing_groups(self) -> tuple[str, ...]:
        """The required groups of which nobody has approved the open request yet."""
        present = {g for a in self.approvals for g in a.groups}
        return tuple(g for g in self.plan.approvals.groups if g not in present)

    @property
    def missing_approvals(self) -> int:
        """The minimum number of approvals still missing on the open request; 0 if none is open."""
        if self.request is None:
            return 0
        return max(self.request.needed - len(self.approvals), 1 if self.missing_groups else 0)

    @property
    def waiting_for(self) -> str:
        """Who or what the next step waits for, as one phrase; empty if it goes on automatically."""
        if self.hold is not None:
            return self.hold.text
        if self.request is not None:
            missing = self.missing_approvals
            return f"{missing} approval{'s' if missing != 1 else ''}" if missing > 0 else ""
        if self.state is RolloutState.PAUSED:
            return "somebody to resume it"
        return ""
