"""The stages as written, one model per kind, and the stages of the plan that each stands for."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic import WithJsonSchema as Schema

from core.files.syntax.fields import (
    Duration,
    MetricKey,
    Name,
    Percent,
    Share,
    StrictModel,
    Where,
    field_error,
    one_or_many_schema,
    only_value,
)
from core.rollout.plans.plan import AdvanceMode, EvalTerms, Stage, StageKind

Samples = Annotated[int, Field(ge=0, le=10**12)]
DEFAULT_COHORT_PERCENT = 50.0
LONGEST_DRILL = timedelta(hours=1)
Steps = Annotated[tuple[Percent, ...], Field(min_length=1)]


def _expand_all(value: Any) -> Any:
    return ["*"] if value == "all" else [value] if isinstance(value, str) else value


Categories = Annotated[tuple[str, ...], BeforeValidator(_expand_all), one_or_many_schema({"type": "string"})]


AtItsEnd = Annotated[
    str,
    only_value("never", "an ab stage is decided only at its end, because early wins mostly vanish: write never"),
    Schema({"const": "never"}),
]
HarmStops = Annotated[
    bool,
    only_value(True, "harm beyond an agreed limit always rolls back, and this cannot be switched off: write true"),
    Schema({"const": True}),
]


class EvalStage(StrictModel):
    """An evaluation suite that has to pass; `safety` takes the same terms. Without terms, the defaults apply."""

    suite: str = ""
    min_pass_rate: Share | None = None
    by_lower_bound: bool = False
    no_new_failures_in: Categories = ()
    compare_to_current: bool = False

    @model_validator(mode="after")
    def _check_pass_rate(self) -> "EvalStage":
        if self.min_pass_rate is not None and not 0 < self.min_pass_rate <= 1:
            raise field_error("min_pass_rate", "write a rate above 0% and up to 100%, or leave it out")
        if self.by_lower_bound and self.min_pass_rate is None:
            raise field_error("by_lower_bound", "there is no min_pass_rate that the lower bound could reach: write one")
        return self

    def to_stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan."""
        terms = EvalTerms(
            suite=self.suite,
            min_pass_rate=self.min_pass_rate,
            no_new_failures_in=self.no_new_failures_in,
            compare_to_current=self.compare_to_current,
            by_lower_bound=self.by_lower_bound or None,
        )
        return (Stage(kind=kind, name=kind.value, terms=terms),)


class CostLatencyStage(StrictModel):
    """A replay of past requests that may not cost much more or take much longer. Without terms, the defaults apply."""

    replay: str = ""
    max_cost_rise: Share | None = None
    max_p95_rise: Share | None = None

    def to_stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan."""
        terms = EvalTerms(suite=self.replay, max_cost_rise=self.max_cost_rise, max_p95_rise=self.max_p95_rise)
        return (Stage(kind=kind, name=kind.value, terms=terms),)


class DrillStage(StrictModel):
    """A rollback that is rehearsed and timed before anybody is exposed."""

    within: Duration = timedelta(seconds=10)

    @model_validator(mode="after")
    def _check_within(self) -> "DrillStage":
        if not timedelta(0) < self.within <= LONGEST_DRILL:
            raise field_error("within", "write how fast it has to be, such as 10s: more than 0s, and at most 1h")
        return self

    def to_stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan."""
        return (Stage(kind=kind, name=kind.value, drill_within=self.within),)


class ExposedStage(StrictModel):
    """The fields of every stage that exposes some people and compares them with a control."""

    max_hold: Duration | None = None
    min_samples: Samples = 0
    advance: AdvanceMode = AdvanceMode.AUTO

    def check_holds(self, hold: timedelta) -> None:
        """Refuse a `max_hold` that is shorter than the minimum hold."""
        if self.max_hold is not None and self.max_hold < hold:
            raise field_error("max_hold", "max_hold is shorter than the minimum hold: this stage could never be left")

    def build_stage(self, kind: StageKind, name: str, percent: float, hold: timedelta) -> Stage:
        """A stage of the plan with this minimum hold, and with the fields that all of these stages have."""
        return Stage(
            kind=kind,
            name=name,
            percent=percent,
            min_hold=hold,
            max_hold=self.max_hold,
            min_samples=self.min_samples,
            advance=self.advance,
        )


class CohortStage(ExposedStage):
    """Chosen people first: half of them get the new version, and the other half is their control. With `steps` it
    grows among them before it goes on."""

    name: Name
    where: Where
    percent: Percent | None = None
    steps: Steps | None = None
    hold: Duration = timedelta(0)

    @model_validator(mode="after")
    def _check_hold_bounds(self) -> "CohortStage":
        self.check_holds(self.hold)
        return self

    @model_validator(mode="after")
    def _check_steps(self) -> "CohortStage":
        if self.steps is None:
            return self
        if self.percent is not None:
            raise field_error("steps", "write percent, or the steps in which it grows, not both")
        if any(later <= earlier for earlier, later in pairwise(self.steps)):
            raise field_error("steps", "percentages must grow")
        return self

    def to_stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan, or one per step."""
        percents = self.steps or (DEFAULT_COHORT_PERCENT if self.percent is None else self.percent,)
        return tuple(
            replace(
                self.build_stage(kind, f"{self.name} {percent:g}%" if self.steps else self.name, percent, self.hold),
                stratum=self.name if self.steps else None,
                where=self.where,
            )
            for percent in percents
        )


class CanaryStage(ExposedStage):
    """A small share of all users."""

    percent: Percent
    min_hold: Duration = timedelta(0)

    @model_validator(mode="after")
    def _check_hold_bounds(self) -> "CanaryStage":
        self.check_holds(self.min_hold)
        return self

    def to_stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan."""
        return (self.build_stage(kind, kind.value, self.percent, self.min_hold),)


class AbStage(ExposedStage):
    """A long comparison that is decided at its end; harm stops it at any time."""

    percent: Percent = 50.0
    days: Annotated[int, Field(ge=1, le=366)] | None = None
    hold: Duration | None = None
    decide_on: tuple[MetricKey, ...] = ()
    early_win: AtItsEnd = "never"
    early_stop_on_harm: HarmStops = True

    @model_validator(mode="after")
    def _check_hold_bounds(self) -> "AbStage":
        if (self.days is None) == (self.hold is None):
            raise field_error(
                "hold" if self.hold else "percent", "an ab stage needs its length: days: 14, or hold: 2h, not both"
            )
        if self.percent >= 100:
            raise field_error("percent", "nobody would be left to compare with: write less, such as 50%")
        self.check_holds(self.length)
        return self

    @property
    def length(self) -> timedelta:
        """How long the comparison lasts, however it was written."""
        return timedelta(days=self.days) if self.days is not None else self.hold or timedelta(0)

    def to_stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan."""
        stage = self.build_stage(kind, kind.value, self.percent, self.length)
        return (replace(stage, decide_on=self.decide_on),)


class RampStage(ExposedStage):
    """Growth in steps; each becomes a stage of its own."""

    steps: Steps
    hold: Duration = timedelta(0)

    @model_validator(mode="after")
    def _check_hold_bounds(self) -> "RampStage":
        self.check_holds(self.hold)
        return self

    def to_stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """One stage of the plan per step."""
        return tuple(self.build_stage(kind, f"ramp {step:g}%", step, self.hold) for step in self.steps)


class BakeStage(StrictModel):
    """Everybody has the new version, and limits are still watched."""

    hold: Duration = timedelta(0)
    advance: AdvanceMode = AdvanceMode.AUTO

    def to_stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan."""
        return (Stage(kind=kind, name=kind.value, percent=100.0, min_hold=self.hold, advance=self.advance),)


StageTerms: TypeAlias = (
    EvalStage | CostLatencyStage | DrillStage | CohortStage | CanaryStage | AbStage | RampStage | BakeStage
)


class StageEntry(StrictModel):
    """One entry of `stages`: the kind, and under it its terms."""

    eval: EvalStage | None = None
    safety: EvalStage | None = None
    cost_latency: CostLatencyStage | None = None
    rollback_drill: DrillStage | None = None
    cohort: CohortStage | None = None
    canary: CanaryStage | None = None
    ab: AbStage | None = None
    ramp: RampStage | None = None
    bake: BakeStage | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_bare_kind(cls, value: Any) -> Any:
        """Accept `- rollback_drill` and `- rollback_drill:` as the stage with its defaults."""
        if isinstance(value, str):
            return {value: {}}
        if isinstance(value, dict):
            return {kind: {} if terms is None else terms for kind, terms in value.items()}
        return value

    @model_validator(mode="after")
    def _check_one_kind(self) -> "StageEntry":
        given = [kind.value for kind in StageKind if getattr(self, kind.value) is not None]
        if not given:
            raise field_error("", f"a stage is one of {', '.join(StageKind)}, with its terms: canary: {{percent: 5}}")
        if len(given) > 1:
            raise field_error(given[1], f'one stage per entry: begin a new entry with "- {given[1]}:"')
        return self

    @property
    def kind(self) -> StageKind:
        """The kind that was written."""
        return next(kind for kind in StageKind if getattr(self, kind.value) is not None)

    @property
    def terms(self) -> StageTerms:
        """The terms under that kind."""
        found: StageTerms = getattr(self, self.kind.value)
        return found

    def to_stages(self) -> tuple[Stage, ...]:
        """The stages of the plan that this entry stands for: one, or one per step of a ramp."""
        return self.terms.to_stages(self.kind)
