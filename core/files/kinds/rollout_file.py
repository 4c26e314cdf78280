"""The rollout file: only what differs from its template."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainValidator, PrivateAttr, ValidationInfo, model_validator
from pydantic import WithJsonSchema as Schema

from core.files.sections.drives_terms import Drives, OneOfTheSystems
from core.files.sections.holdout_terms import HoldoutTerms
from core.files.sections.limit_terms import LimitTerms
from core.files.sections.reverts_terms import RevertsTerms
from core.files.sections.stage_terms import StageEntry
from core.files.sections.tester_terms import Testers
from core.files.syntax import times
from core.files.syntax.amounts import Unit
from core.files.syntax.fields import (
    Duration,
    Group,
    MetricKey,
    Name,
    NoticeReaders,
    NoticeTerms,
    PersonReference,
    Prose,
    StrictModel,
    VersionParts,
    Where,
    WrittenAmount,
    WrittenFile,
    field_error,
    known_metrics,
    one_of,
)
from core.files.templates import DEFAULT_TEMPLATE, TEMPLATES
from core.metrics.catalogue import CATALOGUE, Metric
from core.rollout.plans.plan import Approvals, BehaviourChange, Expectation, Risk

DEFAULT_FINISH = timedelta(hours=24)
LONGEST_FINISH = timedelta(days=6)  # an ended rollout is certain to be kept in memory for longer

Day = Annotated[
    str,
    PlainValidator(lambda written: times.parse_date(written).isoformat()),
    Schema({"type": "string", "format": "date"}),
]
StartTime = Annotated[
    times.WrittenStart,
    PlainValidator(times.parse_start),
    Schema({"type": "string", "examples": ["2026-11-24 10:00 Europe/Berlin"]}),
]


class Change(StrictModel):
    """From which version, to what, and why."""

    from_: str = Field(alias="from", min_length=1)
    to: VersionParts
    why: str = Field(default="", max_length=1000)
    ticket: str = Field(default="", max_length=500)
    deadline: Day = ""
    rollback_to_available_until: Day = ""

    @model_validator(mode="after")
    def _check_not_empty(self) -> "Change":
        if not self.to.to_content():
            raise field_error("to", "nothing changes: write prompt, model, params, tools, routing or code")
        return self

    @property
    def from_version(self) -> str:
        """The version without its surface: `v42` of `support-assistant@v42`."""
        return self.from_.rpartition("@")[2]

    @property
    def from_surface(self) -> str:
        """The surface before the @, or an empty string."""
        return self.from_.rpartition("@")[0]


class BehaviourTerms(StrictModel):
    """One thing that people will notice, shown to them word for word."""

    text: Prose
    audience: NoticeReaders = ("all",)
    example_before: str = Field(default="", max_length=1000)
    example_after: str = Field(default="", max_length=1000)
    kind: Literal["changed", "unchanged"] = "changed"

    def to_behaviour_change(self) -> BehaviourChange:
        """The change of behaviour as it is in the plan."""
        return BehaviourChange(
            audience=self.audience,
            text=self.text,
            example_before=self.example_before,
            example_after=self.example_after,
            unchanged=self.kind == "unchanged",
        )


class ExpectationTerms(StrictModel):
    """Which way a metric should go, and how far."""

    direction: Literal["up", "down", "same"]
    range: (
        Annotated[tuple[WrittenAmount, WrittenAmount], Schema({"type": "array", "minItems": 2, "maxItems": 2})] | None
    ) = None

    @model_validator(mode="after")
    def _check_range(self) -> "ExpectationTerms":
        if self.range is None:
            return self
        low, high = self.range
        named = {end.unit for end in self.range if end.unit is not Unit.NONE or end.value != 0}
        if not named <= {Unit.POINTS, Unit.PERCENT} or len(named) > 1:
            raise field_error("range", "write both ends in pp (points) or both in % (relative): [-20%, -5%]")
        if low.value > high.value:
            raise field_error("range", "the lower end comes first: [-20%, -5%]")
        if (self.direction == "down" and low.value >= 0 and high.value > 0) or (
            self.direction == "up" and high.value <= 0 and low.value < 0
        ):
            raise field_error("range", f"the range contradicts the direction, {self.direction}")
        return self

    def to_expectation(self, metric: str) -> Expectation:
        """The expectation of `metric` as it is in the plan."""
        if self.range is None:
            return Expectation(metric=metric, direction=self.direction)
        low, high = self.range
        points = Unit.POINTS in (low.unit, high.unit)
        return Expectation(metric=metric, direction=self.direction, low=low.value, high=high.value, points=points)


class AssignmentTerms(StrictModel):
    """What counts as one unit, what the new version is compared with, and the segments to judge."""

    unit: Literal["user", "conversation", "account"] = "user"
    control: Literal["concurrent", "matched"] = "concurrent"
    segments: Literal["all"] | tuple[Name, ...] | None = None
    strata: dict[Name, Where] | None = None
    conversations: Literal["next_turn", "finish"] = "next_turn"
    finish_within: Duration | None = None

    @model_validator(mode="after")
    def _check_finish_within(self) -> "AssignmentTerms":
        if self.finish_within is None:
            return self
        if self.conversations != "finish":
            raise field_error("finish_within", "conversations change at the next turn: write conversations: finish")
        if not timedelta(0) < self.finish_within <= LONGEST_FINISH:
            raise field_error(
                "finish_within",
                "write how long conversations may finish after the rollout has ended: more than 0s, and at most 6d. "
                "If they change at once, write conversations: next_turn",
            )
        return self

    @property
    def conversations_finish_within(self) -> timedelta | None:
        """How long after the rollout conversations may finish; None if they change at their next turn."""
        return (self.finish_within or DEFAULT_FINISH) if self.conversations == "finish" else None


class ApprovalTerms(StrictModel):
    """How many people approve, and the groups that each need one approver."""

    required: Annotated[int, Field(ge=0, le=20)] | None = None
    groups: tuple[Group, ...] = ()
    owner_may_approve: bool = False

    def to_approvals(self, at_least: int) -> Approvals:
        """The approvals as they are in the plan, with at least as many people as the policy requires."""
        return Approvals(
            required=max(self.required or 0, at_least), groups=self.groups, owner_may_approve=self.owner_may_approve
        )


class RolloutFile(WrittenFile):
    """What to roll out, to whom, and what stops it."""

    version: Literal[1]
    kind: Literal["rollout"] = "rollout"
    rollout: Name
    surface: Name
    owner: PersonReference = ""
    risk: Risk | None = None
    template: Annotated[str, one_of("template", TEMPLATES), Schema({"enum": list(TEMPLATES)})] = DEFAULT_TEMPLATE
    change: Change
    behaviour_changes: tuple[BehaviourTerms, ...] = ()
    expectations: dict[MetricKey, ExpectationTerms] = Field(default_factory=dict)
    stages: Annotated[tuple[StageEntry, ...], Field(min_length=1)] | None = None
    assignment: AssignmentTerms = AssignmentTerms()
    approvals: ApprovalTerms = ApprovalTerms()
    rollback_when: Annotated[tuple[LimitTerms, ...], Field(min_length=1)]
    hold_when: tuple[LimitTerms, ...] = ()
    notify: tuple[NoticeTerms, ...] | None = None
    start: StartTime | None = None
    drives: Drives | None = None
    reverts: RevertsTerms | None = None
    testers: Testers | None = None
    holdout: HoldoutTerms | None = None

    _own_metrics: Mapping[str, Metric] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _keep_own_metrics(self, info: ValidationInfo) -> "RolloutFile":
        self._own_metrics = known_metrics(info).own
        return self

    @property
    def effective_risk(self) -> Risk:
        """The risk class of the file, or else of its template."""
        return self.risk or TEMPLATES[self.template].risk

    def entry_of(self, metric: str) -> Metric:
        """The metric that this file means by a name: one of its surface's own, or the catalogue's."""
        return self._own_metrics.get(metric) or CATALOGUE[metric]

    @property
    def is_noticeable(self) -> bool:
        """Whether users will notice a difference."""
        return any(behaviour.kind == "changed" for behaviour in self.behaviour_changes)

    @property
    def driven_entries(self) -> tuple[OneOfTheSystems, ...]:
        """What it drives, whether that is written as one entry or as a list."""
        if self.drives is None:
            return ()
        return self.drives if isinstance(self.drives, tuple) else (self.drives,)

    @property
    def stage_entries(self) -> tuple[StageEntry, ...]:
        """The stages: the file's list, or else the template's."""
        return self.stages if self.stages is not None else load_template_stages(self.template)


class _StageList(BaseModel):
    stages: tuple[StageEntry, ...]


def load_template_stages(name: str) -> tuple[StageEntry, ...]:
    """A template's stages, parsed by the same rules as a file's."""
    return _StageList.model_validate({"stages": TEMPLATES[name].stages}).stages
