"""The policy file: what the workspace allows. What it leaves out stays as in the built-in policy."""

from datetime import date, time, timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, model_validator
from pydantic import WithJsonSchema as Schema

from core.durations import LONGEST_DURATION
from core.files.sections.metric_terms import MetricList
from core.files.syntax import times
from core.files.syntax.fields import (
    Channel,
    Duration,
    Factor,
    Group,
    Name,
    Percent,
    PersonReference,
    RoleChannel,
    StrictModel,
    WrittenFile,
    field_error,
    only_value,
)
from core.flags.bucketing import percent_to_ppm
from core.rollout.plans import policy as values
from core.rollout.plans.layers import Layer, divide_equally
from core.rollout.plans.plan import Risk, StageKind
from core.rollout.plans.policy import DEFAULT_POLICY, Freeze, GrowOn, Policy, QuietHours, RiskClass, Unwatched


def _parse_zone(name: str) -> str:
    return times.parse_zone(name).key


Zone = Annotated[str, AfterValidator(_parse_zone)]
HourOfDay = Annotated[
    time, PlainValidator(times.parse_time_of_day), Schema({"type": "string", "pattern": r"^\d\d:\d\d$"})
]
FreezeEdge = Annotated[
    Any, PlainValidator(times.parse_freeze_edge), Schema({"type": "string", "examples": ["Fri 16:00", "2027-01-04"]})
]
QuietSubject = Literal["advance", "summary"]


Everybody = Annotated[
    str,
    only_value(
        "workspace_members",
        "rolling back stays open to everybody in the workspace: write workspace_members, or leave it out",
    ),
    Schema({"const": "workspace_members"}),
]
OnePerSurface = Annotated[
    int,
    only_value(
        1,
        "only one rollout at a time runs on a surface, because the effects of two changes cannot be told apart: "
        "write 1",
    ),
    Schema({"const": 1}),
]
NeverWaits = Annotated[
    tuple[str, ...],
    only_value(
        ["rollback", "alert"], "neither rollbacks nor alerts ever wait: write [rollback, alert], or leave it out"
    ),
    Schema({"const": ["rollback", "alert"]}),
]


class RoleTerms(StrictModel):
    """Who holds a role, and in which channels."""

    groups: tuple[Group, ...] = ()
    people: tuple[PersonReference, ...] = ()
    channels: tuple[RoleChannel, ...] = ()


class RollbackTerms(StrictModel):
    """Rolling back stays open to every full member of the workspace."""

    who: Everybody = "workspace_members"

    @model_validator(mode="before")
    @classmethod
    def _check_not_narrowed(cls, value: Any) -> Any:
        if isinstance(value, dict) and (narrower := value.keys() & {"groups", "people", "channels"}):
            message = "rolling back stays open to everybody in the workspace: it cannot be restricted"
            raise field_error(min(narrower), message)
        return value


class Roles(StrictModel):
    admin: RoleTerms | None = None
    operator: RoleTerms | None = None
    approver: RoleTerms | None = None
    rollback: RollbackTerms = RollbackTerms()


class RiskTerms(StrictModel):
    """The minimum that a risk class asks for."""

    approvals: Annotated[int, Field(ge=0, le=20)]
    min_canary_hold: Duration = timedelta(0)
    may_skip: tuple[StageKind, ...] = ()
    grow_on: GrowOn | None = None


class RiskClasses(StrictModel):
    low: RiskTerms | None = None
    standard: RiskTerms | None = None
    high: RiskTerms | None = None


class CanaryBounds(StrictModel):
    min: Percent = DEFAULT_POLICY.canary_min
    max: Percent = DEFAULT_POLICY.canary_max

    @model_validator(mode="after")
    def _check_order(self) -> "CanaryBounds":
        if self.max > 50:
            raise field_error("max", "a canary is at most 50%, so that a control of its size is left")
        if self.min > self.max:
            raise field_error("min", f"min is above max ({self.max:g}%)")
        return self


class Concurrency(StrictModel):
    per_surface: OnePerSurface = DEFAULT_POLICY.per_surface
    when_busy: Literal["refuse", "queue"] = "refuse"


_NO_FREEZE_AFTER = date(3000, 1, 1)


class FreezeTerms(StrictModel):
    """`to` is the first hour, or the first day, that is free again."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    from_: FreezeEdge = Field(alias="from")
    to: FreezeEdge

    @model_validator(mode="after")
    def _check_ends(self) -> "FreezeTerms":
        if isinstance(self.from_, date) != isinstance(self.to, date):
            raise field_error("to", "write both ends as hours of the week, or both as dates")
        if self.from_ == self.to or (isinstance(self.from_, date) and self.from_ > self.to):
            raise field_error("to", "the freeze ends before it begins, or is empty")
        if isinstance(self.to, date) and self.to >= _NO_FREEZE_AFTER:  # times after a freeze have to be counted with
            raise field_error(
                "to", f"write a day before {_NO_FREEZE_AFTER}: a later file can end it, or make it longer"
            )
        return self

    def to_freeze(self) -> Freeze:
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


class QuietTerms(StrictModel):
    """A rollback and an alert never wait, so they cannot be named in `applies_to`."""

    from_: HourOfDay = Field(alias="from")
    to: HourOfDay
    applies_to: tuple[QuietSubject, ...] = ("advance", "summary")
    never_applies_to: NeverWaits = ("rollback", "alert")

    @model_validator(mode="after")
    def _check_length(self) -> "QuietTerms":
        if self.from_ == self.to:
            raise field_error(
                "to", "quiet hours that end when they begin are none: write another time, or leave them out"
            )
        return self


class BreakGlassTerms(StrictModel):
    """Who may move on before a trial has held long enough; every message then says so."""

    groups: Annotated[tuple[Group, ...], Field(min_length=1)]
    reason_min_chars: Annotated[int, Field(ge=1, le=1000)] = 20
    review_within: Duration = timedelta(hours=48)

    def to_break_glass(self) -> values.BreakGlass:
        """The terms as they are in the policy."""
        return values.BreakGlass(
            groups=self.groups, reason_min_chars=self.reason_min_chars, review_within=self.review_within
        )


class CustomerTerms(StrictModel):
    """How long the ids of customers who got a new version are kept, and where everybody may list them."""

    keep: Duration
    channels: tuple[RoleChannel, ...] = ()

    @model_validator(mode="after")
    def _check_keep(self) -> "CustomerTerms":
        if not timedelta(hours=1) <= self.keep <= LONGEST_DURATION:
            raise field_error("keep", f"keep ids of customers for at least 1h and at most {LONGEST_DURATION.days}d")
        return self


class Summaries(StrictModel):
    first_day: Duration = DEFAULT_POLICY.summary_first_day
    later: Duration = DEFAULT_POLICY.summary_later


class ChannelTerms(StrictModel):
    """Where messages about the whole workspace go: the log witness and the weekly digest."""

    engineering: Channel | None = None
    leadership: Channel | None = None

    def to_channels(self) -> values.WorkspaceChannels:
        """The channels as they are in the policy."""
        return values.WorkspaceChannels(engineering=self.engineering or "", leadership=self.leadership or "")


LayerTerms = dict[Name, Annotated[dict[Name, Percent | None], Field(min_length=1)]]
"""Layers by name, each with its surfaces; one without a share gets an equal part of what the others leave."""


class PolicyFile(WrittenFile):
    """The policy of the workspace."""

    version: Literal[1]
    kind: Literal["policy"] = "policy"
    timezone: Zone = DEFAULT_POLICY.timezone
    roles: Roles = Roles()
    risk: RiskClasses = RiskClasses()
    max_step: Factor | None = DEFAULT_POLICY.max_step
    canary_percent: CanaryBounds = CanaryBounds()
    concurrency: Concurrency = Concurrency()
    freeze: tuple[FreezeTerms, ...] = ()
    quiet_hours: QuietTerms | None = None
    break_glass: BreakGlassTerms | None = None
    summaries: Summaries = Field(default_factory=Summaries)
    approval_expires: Duration = DEFAULT_POLICY.approval_expires
    when_unwatched: Unwatched | None = None
    channels: ChannelTerms | None = None
    customers: CustomerTerms | None = None
    metrics: MetricList = ()
    layers: LayerTerms = Field(default_factory=dict)


def policy_from_file(file: PolicyFile) -> Policy:
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
        risk={risk: _build_risk_class(risk, getattr(file.risk, risk.value)) for risk in Risk},
        max_step=file.max_step,
        canary_min=file.canary_percent.min,
        canary_max=file.canary_percent.max,
        per_surface=file.concurrency.per_surface,
        when_busy=file.concurrency.when_busy,
        freezes=tuple(freeze.to_freeze() for freeze in file.freeze),
        quiet=None if quiet is None else QuietHours(start=quiet.from_, end=quiet.to, applies_to=quiet.applies_to),
        summary_first_day=file.summaries.first_day,
        summary_later=file.summaries.later,
        approval_expires=file.approval_expires,
        break_glass=None if file.break_glass is None else file.break_glass.to_break_glass(),
        grow_on=grow_on or None,
        when_unwatched=file.when_unwatched,
        channels=None if file.channels is None else file.channels.to_channels(),
        customers=None
        if file.customers is None
        else values.CustomerRecords(keep=file.customers.keep, channels=file.customers.channels),
        metrics=tuple(terms.to_metric() for terms in file.metrics) or None,
        layers=build_layers(file) or None,
    )


def build_layers(file: PolicyFile) -> tuple[Layer, ...]:
    """The layers in the order of their names."""
    return tuple(
        divide_equally(
            name,
            (
                (surface, None if percent is None else percent_to_ppm(percent))
                for surface, percent in file.layers[name].items()
            ),
        )
        for name in sorted(file.layers)
    )


def _build_risk_class(risk: Risk, terms: RiskTerms | None) -> RiskClass:
    if terms is None:
        return DEFAULT_POLICY.risk[risk]
    return RiskClass(approvals=terms.approvals, min_canary_hold=terms.min_canary_hold, may_skip=terms.may_skip)
