"""The stages as written, one model per kind, and the stages of the plan that each stands for."""

from datetime import timedelta
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, model_validator
from pydantic import WithJsonSchema as Schema

from core.files.syntax.fields import Duration, MetricKey, Name, Percent, Share, Strict, Where, one_or_many, only, wrong
from core.rollout.plan import Advance, EvalTerms, Stage, StageKind

Samples = Annotated[int, Field(ge=0, le=10**12)]
Steps = Annotated[tuple[Percent, ...], Field(min_length=1)]


def _every(value: Any) -> Any:
    return ["*"] if value == "all" else [value] if isinstance(value, str) else value


Categories = Annotated[tuple[str, ...], BeforeValidator(_every), one_or_many({"type": "string"})]


AtItsEnd = Annotated[
    str,
    only("never", "an ab is decided at its end and never before, as early wins mostly vanish: write never"),
    Schema({"const": "never"}),
]
HarmStops = Annotated[
    bool,
    only(True, "harm beyond an agreed limit rolls back at any time, and nothing switches that off: write true"),
    Schema({"const": True}),
]


class EvalStage(Strict):
    """An evaluation suite that has to pass; `safety` is read the same way. Empty terms ask for what is built in."""

    suite: str = ""
    min_pass_rate: Share | None = None
    no_new_failures_in: Categories = ()
    compare_to_current: bool = False

    @model_validator(mode="after")
    def _asks(self) -> "EvalStage":
        if self.min_pass_rate is not None and not 0 < self.min_pass_rate <= 1:
            raise wrong("min_pass_rate", "write a rate above 0% and up to 100%, or leave it out")
        return self

    def stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan."""
        terms = EvalTerms(
            suite=self.suite,
            min_pass_rate=self.min_pass_rate,
            no_new_failures_in=self.no_new_failures_in,
            compare_to_current=self.compare_to_current,
        )
        return (Stage(kind=kind, name=kind.value, terms=terms),)


class CostLatencyStage(Strict):
    """A replay of past requests that may not cost or last much more. Empty terms ask for what is built in."""

    replay: str = ""
    max_cost_rise: Share | None = None
    max_p95_rise: Share | None = None

    def stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan."""
        terms = EvalTerms(suite=self.replay, max_cost_rise=self.max_cost_rise, max_p95_rise=self.max_p95_rise)
        return (Stage(kind=kind, name=kind.value, terms=terms),)


class DrillStage(Strict):
    """Flip there and back before anybody is exposed, and time it."""

    within: Duration = timedelta(seconds=10)

    def stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan."""
        return (Stage(kind=kind, name=kind.value, drill_within=self.within),)


class Exposed(Strict):
    """The fields of every stage that exposes some people and compares them with a control."""

    max_hold: Duration | None = None
    min_samples: Samples = 0
    advance: Advance = Advance.AUTO

    def check_holds(self, hold: timedelta) -> None:
        """Refuse a `max_hold` that is shorter than the minimum hold."""
        if self.max_hold is not None and self.max_hold < hold:
            raise wrong("max_hold", "max_hold is shorter than the minimum hold: this stage could never be left")


class CohortStage(Exposed):
    """Chosen people first; half of them, so that they have their own control."""

    name: Name
    where: Where
    percent: Percent = 50.0
    hold: Duration = timedelta(0)

    @model_validator(mode="after")
    def _possible(self) -> "CohortStage":
        self.check_holds(self.hold)
        return self

    def stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan."""
        return (
            Stage(
                kind=kind,
                name=self.name,
                percent=self.percent,
                where=self.where,
                min_hold=self.hold,
                max_hold=self.max_hold,
                min_samples=self.min_samples,
                advance=self.advance,
            ),
        )


class CanaryStage(Exposed):
    """A small share of everybody."""

    percent: Percent
    min_hold: Duration = timedelta(0)

    @model_validator(mode="after")
    def _possible(self) -> "CanaryStage":
        self.check_holds(self.min_hold)
        return self

    def stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan."""
        return (
            Stage(
                kind=kind,
                name=kind.value,
                percent=self.percent,
                min_hold=self.min_hold,
                max_hold=self.max_hold,
                min_samples=self.min_samples,
                advance=self.advance,
            ),
        )


class AbStage(Exposed):
    """A long comparison that is decided at its end; harm stops it at any time."""

    percent: Percent = 50.0
    days: Annotated[int, Field(ge=1, le=366)] | None = None
    hold: Duration | None = None
    decide_on: tuple[MetricKey, ...] = ()
    early_win: AtItsEnd = "never"
    early_stop_on_harm: HarmStops = True

    @model_validator(mode="after")
    def _possible(self) -> "AbStage":
        if (self.days is None) == (self.hold is None):
            raise wrong(
                "hold" if self.hold else "percent", "an ab stage needs its length: days: 14, or hold: 2h, not both"
            )
        self.check_holds(self.length)
        return self

    @property
    def length(self) -> timedelta:
        """How long the comparison lasts, however it was written."""
        return timedelta(days=self.days) if self.days is not None else self.hold or timedelta(0)

    def stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan."""
        return (
            Stage(
                kind=kind,
                name=kind.value,
                percent=self.percent,
                min_hold=self.length,
                max_hold=self.max_hold,
                min_samples=self.min_samples,
                advance=self.advance,
                decide_on=self.decide_on,
            ),
        )


class RampStage(Exposed):
    """Growth in steps; each becomes a stage of its own."""

    steps: Steps
    hold: Duration = timedelta(0)

    @model_validator(mode="after")
    def _possible(self) -> "RampStage":
        self.check_holds(self.hold)
        return self

    def stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """One stage of the plan per step."""
        return tuple(
            Stage(
                kind=kind,
                name=f"ramp {step:g}%",
                percent=step,
                min_hold=self.hold,
                max_hold=self.max_hold,
                min_samples=self.min_samples,
                advance=self.advance,
            )
            for step in self.steps
        )


class BakeStage(Strict):
    """Everybody has it, and the old version stays one flip away."""

    hold: Duration = timedelta(0)
    advance: Advance = Advance.AUTO

    def stages(self, kind: StageKind) -> tuple[Stage, ...]:
        """The one stage of the plan."""
        return (Stage(kind=kind, name=kind.value, percent=100.0, min_hold=self.hold, advance=self.advance),)


Terms: TypeAlias = (
    EvalStage | CostLatencyStage | DrillStage | CohortStage | CanaryStage | AbStage | RampStage | BakeStage
)


class StageEntry(Strict):
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
    def _bare(cls, value: Any) -> Any:
        """Accept `- rollback_drill` and `- rollback_drill:` as the stage with its defaults."""
        if isinstance(value, str):
            return {value: {}}
        if isinstance(value, dict):
            return {kind: {} if terms is None else terms for kind, terms in value.items()}
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> "StageEntry":
        given = [kind.value for kind in StageKind if getattr(self, kind.value) is not None]
        if not given:
            raise wrong("", f"a stage is one of {', '.join(StageKind)}, with its terms: canary: {{percent: 5}}")
        if len(given) > 1:
            raise wrong(given[1], f'one entry, one stage: begin a new entry with "- {given[1]}:"')
        return self

    @property
    def kind(self) -> StageKind:
        """The kind that was written."""
        return next(kind for kind in StageKind if getattr(self, kind.value) is not None)

    @property
    def terms(self) -> Terms:
        """The terms under that kind."""
        found: Terms = getattr(self, self.kind.value)
        return found

    def stages(self) -> tuple[Stage, ...]:
        """The stages of the plan that this entry stands for: one, or one per step of a ramp."""
        return self.terms.stages(self.kind)
