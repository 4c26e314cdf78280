"""The policy file: what the workspace allows. What it leaves out stays as in the built-in policy."""

from datetime import date, time, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, model_validator
from pydantic import WithJsonSchema as Schema

from core.files.syntax import times
from core.files.syntax.fields import Duration, Factor, Group, Percent, Person, RoleChannel, Strict, Written, only, wrong
from core.rollout import policy as values
from core.rollout.plan import Risk, StageKind
from core.rollout.policy import BUILT_IN, Freeze, GrowOn, Policy, QuietHours, RiskClass, Unwatched


def _zone(name: str) -> str:
    return times.zone(name).key


Zone = Annotated[str, AfterValidator(_zone)]
HourOfDay = Annotated[time, PlainValidator(times.hour), Schema({"type": "string", "pattern": r"^\d\d:\d\d$"})]
Edge = Annotated[Any, PlainValidator(times.edge), Schema({"type": "string", "examples": ["Fri 16:00", "2027-01-04"]})]
Waits = Literal["advance", "summary"]


Everybody = Annotated[
    str,
    only(
        "workspace_members",
        "rolling back stays open to everybody in the workspace: write workspace_members, or leave it out",
    ),
    Schema({"const": "workspace_members"}),
]
OnePerSurface = Annotated[
    int,
    only(1, "one rollout at a time runs on a surface, as two changes at once cannot be told apart: write 1"),
    Schema({"const": 1}),
]
NeverWaits = Annotated[
    tuple[str, ...],
    only(["rollback", "alert"], "neither rollbacks nor alerts ever wait: write [rollback, alert], or leave it out"),
    Schema({"const": ["rollback", "alert"]}),
]


class RoleTerms(Strict):
    """Who holds a role, and in which channels."""

    groups: tuple[Group, ...] = ()
    people: tuple[Person, ...] = ()
    channels: tuple[RoleChannel, ...] = ()


class RollbackTerms(Strict):
    """Rolling back stays open to every full member of the workspace."""

    who: Everybody = "workspace_members"

    @model_validator(mode="before")
    @classmethod
    def _not_narrower(cls, value: Any) -> Any:
        if isinstance(value, dict) and (narrower := value.keys() & {"groups", "people", "channels"}):
            message = "rolling back stays open to everybody in the workspace: it cannot be narrowed to some"
            raise wrong(min(narrower), message)
        return value


class Roles(Strict):
    admin: RoleTerms | None = None
    operator: RoleTerms | None = None
    approver: RoleTerms | None = None
    rollback: RollbackTerms = RollbackTerms()


class RiskTerms(Strict):
    """What a risk class asks for at least."""

    approvals: Annotated[int, Field(ge=0, le=20)]
    min_canary_hold: Duration = timedelta(0)
    may_skip: tuple[StageKind, ...] = ()
    grow_on: GrowOn | None = None


class RiskClasses(Strict):
    low: RiskTerms | None = None
    standard: RiskTerms | None = None
    high: RiskTerms | None = None


class CanaryBounds(Strict):
    min: Percent = BUILT_IN.canary_min
    max: Percent = BUILT_IN.canary_max

    @model_validator(mode="after")
    def _ordered(self) -> "CanaryBounds":
        if self.max > 50:
            raise wrong("max", "a canary is at most 50%, so that a control of its size is left")
        if self.min > self.max:
            raise wrong("min", f"min is above max ({self.max:g}%)")
        return self


class Concurrency(Strict):
    per_surface: OnePerSurface = BUILT_IN.per_surface
    when_busy: Literal["refuse", "queue"] = "refuse"


class FreezeTerms(Strict):
    """`to` is the first hour, or the first day, that is free again."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    from_: Edge = Field(alias="from")
    to: Edge

    @model_validator(mode="after")
    def _alike(self) -> "FreezeTerms":
        if isinstance(self.from_, date) != isinstance(self.to, date):
            raise wrong("to", "write both ends as hours of the week, or both as dates")
        if self.from_ == self.to or (isinstance(self.from_, date) and self.from_ > self.to):
            raise wrong("to", "the freeze ends before it begins, or is empty")
        return self

    def freeze(self) -> Freeze:
        """The freeze as it is in the policy."""
        if isinstance(self.from_, date):
            return Freeze(name=self.name, from_date=self.from_, to_date=self.to)
        return Freeze(
            name=self.name,
            from_weekday=self.from_.weekday,
            from_time=self.from_.at,
            to_weekday=self.to.weekday,
            to_time=self.to.at,
        )


class QuietTerms(Strict):
    """A rollback and an alert never wait, so they cannot be named in `applies_to`."""

    from_: HourOfDay = Field(alias="from")
    to: HourOfDay
    applies_to: tuple[Waits, ...] = ("advance", "summary")
    never_applies_to: NeverWaits = ("rollback", "alert")


class BreakGlass(Strict):
    """Who may go forward before a trial has held, loudly."""

    groups: Annotated[tuple[Group, ...], Field(min_length=1)]
    reason_min_chars: Annotated[int, Field(ge=1, le=1000)] = 20
    review_within: Duration = timedelta(hours=48)

    def value(self) -> values.BreakGlass:
        """The terms as they are in the policy."""
        return values.BreakGlass(
            groups=self.groups, reason_min_chars=self.reason_min_chars, review_within=self.review_within
        )


class Summaries(Strict):
    first_day: Duration = BUILT_IN.summary_first_day
    later: Duration = BUILT_IN.summary_later


class PolicyFile(Written):
    """One per workspace."""

    version: Literal[1]
    kind: Literal["policy"] = "policy"
    timezone: Zone = BUILT_IN.timezone
    roles: Roles = Roles()
    risk: RiskClasses = RiskClasses()
    max_step: Factor | None = BUILT_IN.max_step
    canary_percent: CanaryBounds = CanaryBounds()
    concurrency: Concurrency = Concurrency()
    freeze: tuple[FreezeTerms, ...] = ()
    quiet_hours: QuietTerms | None = None
    break_glass: BreakGlass | None = None
    summaries: Summaries = Field(default_factory=Summaries)
    approval_expires: Duration = BUILT_IN.approval_expires
    when_unwatched: Unwatched | None = None


def policy_of(file: PolicyFile) -> Policy:
    """The policy that applies once this file is applied."""
    quiet = file.quiet_hours
    grow_on = {risk: terms.grow_on for risk in Risk if (terms := getattr(file.risk, risk.value)) and terms.grow_on}
    return Policy(
        timezone=file.timezone,
        roles={
            name: values.Role(groups=role.groups, people=role.people, channels=role.channels)
            for name in ("admin", "operator", "approver")
            if (role := getattr(file.roles, name)) is not None
        },
        risk={risk: _risk(risk, getattr(file.risk, risk.value)) for risk in Risk},
        max_step=file.max_step,
        canary_min=file.canary_percent.min,
        canary_max=file.canary_percent.max,
        per_surface=file.concurrency.per_surface,
        when_busy=file.concurrency.when_busy,
        freezes=tuple(freeze.freeze() for freeze in file.freeze),
        quiet=None if quiet is None else QuietHours(start=quiet.from_, end=quiet.to, applies_to=quiet.applies_to),
        summary_first_day=file.summaries.first_day,
        summary_later=file.summaries.later,
        approval_expires=file.approval_expires,
        break_glass=None if file.break_glass is None else file.break_glass.value(),
        grow_on=grow_on or None,
        when_unwatched=file.when_unwatched,
    )


def _risk(risk: Risk, terms: RiskTerms | None) -> RiskClass:
    if terms is None:
        return BUILT_IN.risk[risk]
    return RiskClass(approvals=terms.approvals, min_canary_hold=terms.min_canary_hold, may_skip=terms.may_skip)
