"""What the workspace allows: roles, risk classes, percentages, freezes and quiet hours, as one value."""

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import ClassVar
from zoneinfo import ZoneInfo

from core.metrics.catalogue import Metric
from core.rollout.plans.layers import Layer
from core.rollout.plans.plan import Risk, StageKind

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def resolve_wall_time(wall_time: datetime, zone: tzinfo) -> list[datetime]:
    """The UTC times at which clocks in `zone` show `wall_time`: one; none if the clocks skip it; two if they repeat
    it."""
    found = []
    for fold in (0, 1):
        moment = wall_time.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if moment not in found and moment.astimezone(zone).replace(tzinfo=None) == wall_time.replace(tzinfo=None):
            found.append(moment)
    return found


class GrowOn(StrEnum):
    """What lets a rollout grow, besides its holds and that nothing speaks against it."""

    SHOWN = "shown"  # every limit is shown to be kept
    NOTICEABLE = "noticeable"  # harm of twice each rollback limit would have been seen by now, with 80 % chance
    TIME = "time"  # nothing more, but that each rollback limit has been read at all


class Unwatched(StrEnum):
    """What becomes of a canary at which nobody has looked for too long, as every worker is dead."""

    KEEP = "keep"  # it is served on, and grows no further
    WITHDRAW = "withdraw"  # everybody gets the live version until somebody looks again


DEFAULT_GROW_ON = {Risk.LOW: GrowOn.TIME, Risk.STANDARD: GrowOn.NOTICEABLE, Risk.HIGH: GrowOn.SHOWN}
"""What applies if the policy does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskClass:
    """The minimum that a risk class requires."""

    approvals: int
    min_canary_hold: timedelta = timedelta(0)
    may_skip: tuple[StageKind, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze:
    """No starts and no growth in this period: every week (`Fri 16:00` to `Mon 08:00`) or once, between two dates."""

    name: str
    from_weekday: int | None = None
    from_time: time = time(0)
    to_weekday: int | None = None
    to_time: time = time(0)
    from_date: date | None = None
    to_date: date | None = None  # the first day after the freeze

    def find_end(self, local: datetime) -> datetime | None:
        """The end of this freeze if `local` (timezone-aware) lies in it, else None."""
        if self.from_date is not None and self.to_date is not None:
            inside = self.from_date <= local.date() < self.to_date
            return datetime.combine(self.to_date, time(0), local.tzinfo) if inside else None
        assert self.from_weekday is not None
        assert self.to_weekday is not None
        monday = local.date() - timedelta(days=local.weekday())
        for week in (-1, 0):
            base = monday + timedelta(weeks=week)
            begins = datetime.combine(base + timedelta(days=self.from_weekday), self.from_time, local.tzinfo)
            ends = datetime.combine(base + timedelta(days=self.to_weekday), self.to_time, local.tzinfo)
            if ends <= begins:
                ends += timedelta(weeks=1)
            # Within one zone Python compares wall times, and in autumn one hour of those occurs twice.
            if _find_moment(begins) <= local.astimezone(UTC) < (until := _find_moment(ends)):
                return until.astimezone(local.tzinfo)
        return None


def _find_moment(wall: datetime) -> datetime:
    """When the clocks show this time for the first time or, where they skip it, when they are moved past it; in UTC."""
    at = wall.astimezone(UTC)
    if at.astimezone(wall.tzinfo) == wall:
        return at
    before = wall.replace(fold=1).astimezone(UTC)
    minutes = range((at - before) // timedelta(minutes=1) + 1)
    moments = (before + timedelta(minutes=minute) for minute in minutes)
    return next(one for one in moments if one.astimezone(wall.tzinfo) >= wall)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """Between `start` and `end`, what `applies_to` lists has to wait. Rollbacks and alerts never wait."""

    start: time
    end: time
    applies_to: tuple[str, ...] = ("advance", "summary")

    def covers_time(self, local: datetime) -> bool:
        """Whether the local time lies in the quiet hours, which may span midnight."""
        now = local.time()
        if self.start <= self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Who has a role: user groups and people by id or handle, and the channels in which they must act."""

    groups: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlass:
    """Who may skip a trial that has not held long enough, how long their reason must be, and when it is reviewed."""

    groups: tuple[str, ...]
    reason_min_chars: int = 20
    review_within: timedelta = timedelta(hours=48)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceChannels:
    """Where messages about the whole workspace go; an empty name is left out."""

    engineering: str = ""
    leadership: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRecords:
    """How long the ids of customers who got a new version are kept after their last request, and the channels in which
    everybody may list them."""

    keep: timedelta
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The policy of the workspace; `DEFAULT_POLICY` applies if none was given."""

    # Added when policies were already stored: left out of bytes and fingerprint while unset, so both stay the same.
    LATER: ClassVar[tuple[str, ...]] = (
        *("break_glass", "grow_on", "when_unwatched", "channels", "customers", "metrics"),
        "layers",
    )

    timezone: str = "UTC"
    roles: dict[str, Role] = field(default_factory=dict)
    risk: dict[Risk, RiskClass] = field(
        default_factory=lambda: {
            Risk.LOW: RiskClass(approvals=0, may_skip=(StageKind.COHORT, StageKind.BAKE)),
            Risk.STANDARD: RiskClass(approvals=1, may_skip=(StageKind.COHORT,)),
            Risk.HIGH: RiskClass(approvals=2),
        }
    )
    max_step: float | None = 2.5  # the largest jump of a person, as a factor on the current percentage
    canary_min: float = 1.0
    canary_max: float = 5.0
    per_surface: int = 1
    when_busy: str = "refuse"  # refuse | queue
    freezes: tuple[Freeze, ...] = ()
    quiet: QuietHours | None = None
    summary_first_day: timedelta = timedelta(hours=1)
    summary_later: timedelta = timedelta(hours=6)
    approval_expires: timedelta = timedelta(hours=24)
    break_glass: BreakGlass | None = None
    grow_on: dict[Risk, GrowOn] | None = None  # by risk; only what the policy file says
    when_unwatched: Unwatched | None = None  # None: keep
    channels: WorkspaceChannels | None = None
    customers: CustomerRecords | None = None  # None: the ids of customers are not kept
    metrics: tuple[Metric, ...] | None = None  # of every surface, beside those of its own file
    layers: tuple[Layer, ...] | None = None  # surfaces that share users; None: there are none

    def fingerprint(self) -> str:
        """Sixteen hex digits over every field: equal policies have the same fingerprint.

        It hashes the `repr`, so renaming a class or field of the policy changes the fingerprint of every policy.
        """
        text = repr(self)
        for name in self.LATER:
            if getattr(self, name) is None:
                text = text.replace(f", {name}=None", "")
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def growth_rule_for(self, risk: Risk) -> GrowOn:
        """What a rollout of this risk needs in order to grow."""
        return (self.grow_on or {}).get(risk, DEFAULT_GROW_ON[risk])

    def to_local_time(self, at: datetime) -> datetime:
        """The time in the zone of the policy."""
        return at.astimezone(ZoneInfo(self.timezone))

    def find_freeze(self, at: datetime) -> tuple[str, datetime] | None:
        """(name, end) of the freeze that covers `at`, or None. If several do, the one that ends last."""
        local = self.to_local_time(at)
        spans = [(f.name, until) for f in self.freezes if (until := f.find_end(local)) is not None]
        return max(spans, key=lambda s: s[1].astimezone(UTC)) if spans else None

    def is_quiet_for(self, what: str, at: datetime) -> bool:
        """Whether `what` (`advance` or `summary`) has to wait for the end of the quiet hours."""
        return (
            self.quiet is not None and what in self.quiet.applies_to and self.quiet.covers_time(self.to_local_time(at))
        )


DEFAULT_POLICY = Policy()
