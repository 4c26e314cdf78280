"""A rollout as it stands: the fold of its events, as one immutable value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from core.judging.model.limits import Role
from core.judging.model.verdict import BlindSpot, Measure
from core.rollout.events import (
    ApprovalRequested,
    Approved,
    BlindSpotsAccepted,
    EvalRecorded,
    EvidenceRecorded,
    FlagSet,
    FlipConfirmed,
    RolledBack,
)
from core.rollout.plan import Content, Plan, Stage, changed_parts


class State(StrEnum):
    PLANNED = "planned"
    RUNNING = "running"
    WAITING = "waiting"
    ON_HOLD = "on_hold"
    PAUSED = "paused"
    ROLLED_BACK = "rolled_back"
    DONE = "done"
    ABANDONED = "abandoned"


UNDER_WAY = frozenset({State.RUNNING, State.WAITING, State.ON_HOLD, State.PAUSED})
TERMINAL = frozenset({State.ROLLED_BACK, State.DONE, State.ABANDONED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why nothing grows. `key` names the finding that a resume would set aside."""

    key: str
    text: str
    since: datetime


# Without slots, as `replacing.replace` wants it.
@dataclass(frozen=True, kw_only=True)
class StageSpan:
    """A stage that was entered, and when it was left (None: still in it)."""

    index: int
    since: datetime
    until: datetime | None = None
    driven_since: datetime | None = None  # when the flag system that is driven was read back at its percentage


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    channel: str
    ts: str
    at: datetime


# Without slots, as `replacing.replace` wants it.
@dataclass(frozen=True, kw_only=True)
class Rollout:
    id: str
    plan: Plan
    fingerprint: str
    from_content: Content
    to_content: Content
    state: State
    planned_at: datetime
    planned_by: str
    planners: tuple[str, ...] = ()  # everybody who applied it before it began: who wrote its version
    started_at: datetime | None = None
    ended_at: datetime | None = None
    start: datetime | None = None  # when it begins by itself
    live_instead: str = ""  # before the start: what went live where the plan's own start is not live any more
    spans: tuple[StageSpan, ...] = ()
    request: ApprovalRequested | None = None  # the gate that is open, if any
    approvals: tuple[Approved, ...] = ()  # those given at the open gate
    requests_made: int = 0
    acknowledged: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # notice key -> handles
    acknowledged_by: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # notice key -> ids
    hold: Hold | None = None
    paused_at: datetime | None = None
    paused_for: timedelta = timedelta(0)  # of the stage under way
    paused_from: State = State.RUNNING
    skip_wait: bool = False
    asked_after: timedelta = timedelta(0)  # how long the stage had been held when somebody last let it go on undecided
    skipped: str = ""  # why a person skipped the waiting before the gate that is open
    overridden: frozenset[str] = frozenset()
    evals: Mapping[int, EvalRecorded] = field(default_factory=dict)
    drilled: Mapping[int, float] = field(default_factory=dict)
    evidence: EvidenceRecorded | None = None
    evidence_at: datetime | None = None
    summary_at: datetime | None = None
    measures: tuple[Measure, ...] = ()
    felt_off: tuple[str, ...] = ()  # who
    messages: Mapping[str, Posted] = field(default_factory=dict)
    rollback: RolledBack | None = None
    flip: FlipConfirmed | None = None
    flip_doubted: bool = False
    flag: FlagSet | None = None  # what the driven flag system was read back at last; after a rollback: since then
    flag_trouble: str = ""  # why it could not be set since
    accepted: tuple[BlindSpotsAccepted, ...] = ()  # the blind spots that people let it grow with
    sighted: frozenset[str] = frozenset()  # rollback limits of which twice their size would have been noticed once
    caps: Mapping[str, float] = field(default_factory=dict)  # metric -> the value above which readings are cut

    @property
    def stage_index(self) -> int:
        """Index into the plan's stages; -1 before the start."""
        return self.spans[-1].index if self.spans else -1

    @property
    def stage(self) -> Stage | None:
        return self.plan.stages[self.stage_index] if self.spans else None

    @property
    def next_stage(self) -> Stage | None:
        following = self.stage_index + 1
        return self.plan.stages[following] if following < len(self.plan.stages) else None

    @property
    def percent(self) -> float:
        """The share of the stage's audience on the new version, 0 to 100."""
        if self.state in UNDER_WAY and self.stage is not None:
            return self.stage.percent
        return 100.0 if self.state is State.DONE else 0.0

    @property
    def is_looked_at(self) -> bool:
        """Whether looks are made at it: from when the first people get the new version until it ends."""
        return self.under_way and any(self.plan.stages[span.index].exposes for span in self.spans)

    @property
    def under_way(self) -> bool:
        return self.state in UNDER_WAY

    @property
    def kind(self) -> str:
        """What kind of change this is, computed from the contents: `prompt`, `model + tools`, …"""
        return " + ".join(changed_parts(self.from_content, self.to_content)) or "nothing"

    @property
    def stage_since(self) -> datetime | None:
        return self.spans[-1].since if self.spans else None

    def held_for(self, at: datetime) -> timedelta:
        """How long the stage under way has been held; the clock stands still while paused."""
        if not self.spans:
            return timedelta(0)
        paused = self.paused_for + (at - self.paused_at if self.paused_at else timedelta(0))
        return at - self.spans[-1].since - paused

    @property
    def accepted_keys(self) -> frozenset[str]:
        """The limits whose blind spots were accepted for the stages to come as well."""
        return frozenset(spot.key for one in self.accepted if one.lasting for spot in one.spots)

    def sighted_with(self, blind: tuple[BlindSpot, ...]) -> frozenset[str]:
        """The limits that were not blind once: evidence adds up, so that they stay so."""
        if self.stage is None or not self.stage.compared:
            return self.sighted
        limits = {f"{x.metric}:{x.kind.value}" for x in self.plan.limits if x.acts and x.role is Role.ROLLBACK}
        return self.sighted | (limits - {spot.key for spot in blind})

    def notice_posted(self, key: str) -> datetime | None:
        """When the notice of this channel reached Slack, in the plan as it stands."""
        posted = self.messages.get(f"notice:{self.fingerprint}:{key}")
        return posted.at if posted else None

    @property
    def channels(self) -> Mapping[str, str]:
        """Channel names as written -> ids, as far as something was posted there."""
        return {k.rpartition(":")[2]: p.channel for k, p in self.messages.items() if k.startswith("notice:")}

    @property
    def groups_left(self) -> tuple[str, ...]:
        """The named groups of which nobody has approved at the open gate."""
        present = {g for a in self.approvals for g in a.groups}
        return tuple(g for g in self.plan.approvals.groups if g not in present)

    @property
    def approvals_left(self) -> int:
        """How many approvals the open gate still waits for, at least; 0 where none is open."""
        if self.request is None:
            return 0
        return max(self.request.needed - len(self.approvals), 1 if self.groups_left else 0)

    @property
    def waiting_for(self) -> str:
        """Who or what the next step waits for, in one phrase; empty when it goes on by itself."""
        if self.hold is not None:
            return self.hold.text
        if self.request is not None:
            missing = self.approvals_left
            return f"{missing} approval{'s' if missing != 1 else ''}" if missing > 0 else ""
        if self.state is State.PAUSED:
            return "somebody to resume it"
        return ""
