"""The surface file: an AI feature and what is live on it today."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, JsonValue, model_validator

from core.files.sections.anchor_terms import Anchors, Dollars
from core.files.sections.criterion_terms import Criteria
from core.files.sections.metric_terms import MetricList
from core.files.sections.soft_error_terms import AnswerLanguage, AnswerReading, SoftErrorName, find_schema_problem
from core.files.sections.source_terms import SourceFields
from core.files.sections.tester_terms import Testers
from core.files.syntax.fields import (
    Duration,
    Name,
    NoticeTerms,
    PersonReference,
    Share,
    StrictModel,
    VersionParts,
    Where,
    WrittenFile,
    field_error,
)
from core.metrics.catalogue import Metric
from core.rollout.state.surface import JudgingTerms, SoftErrorTerms, SurfaceDeclared
from core.shadow_eval.anchors import EVERY, LONGEST_EVERY, SHORTEST_EVERY
from core.shadow_eval.rubric import build_metric

MAX_KEEP = timedelta(days=30)


class LiveVersion(VersionParts):
    """The version that everybody gets when the surface is applied for the first time."""

    version: Name

    @model_validator(mode="after")
    def _check_not_empty(self) -> "LiveVersion":
        if not self.to_content():
            raise field_error("version", "the live version is empty: write its prompt, model, params, tools or routing")
        return self


class JudgingFields(StrictModel):
    """How answers are judged while a rollout runs."""

    judge: Name
    share: Share = 0.1
    keep: Duration = timedelta(days=7)
    most: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    criteria: Criteria = ()
    anchors: Anchors | None = None
    anchors_every: Duration = EVERY
    cost: Dollars | None = None
    cap: Dollars | None = None

    @model_validator(mode="after")
    def _check_limits(self) -> "JudgingFields":
        if not 0 < self.share <= 1:
            raise field_error("share", "a share of the answers lies above 0 % and at most at 100 %")
        if not timedelta(hours=1) <= self.keep <= MAX_KEEP:
            raise field_error("keep", "texts are kept for 1h at least and 30d at most")
        names = [terms.name for terms in self.criteria]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            raise field_error("criteria", f'"{twice}" is there twice')
        ids = [anchor.id for anchor in self.anchors or ()]
        if twice := next((name for name in ids if ids.count(name) > 1), ""):
            raise field_error("anchors", f'"{twice}" is there twice')
        if not SHORTEST_EVERY <= self.anchors_every <= LONGEST_EVERY:
            raise field_error(
                "anchors_every", "anchors are judged every 15m at the shortest and every 7d at the longest"
            )
        return self

    def to_terms(self) -> JudgingTerms:
        """The terms as events store them."""
        return JudgingTerms(
            judge=self.judge,
            share=self.share,
            keep=self.keep,
            most=self.most,
            criteria=tuple(terms.to_criterion() for terms in self.criteria) or None,
            anchors=tuple(terms.to_anchor() for terms in self.anchors) if self.anchors is not None else None,
            anchors_every=self.anchors_every if self.anchors is not None else None,
            cost=self.cost,
            cap=self.cap,
        )


class SoftErrorFields(StrictModel):
    """Soft errors that the applications of a surface report, and what its answers are held against."""

    own: Annotated[tuple[SoftErrorName, ...], Field(max_length=30)] = ()
    language: AnswerLanguage = ""
    json_schema: dict[str, JsonValue] | None = Field(default=None, alias="schema")
    measure: dict[str, AnswerReading] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_fields(self) -> "SoftErrorFields":
        if len(set(self.own)) < len(self.own):
            raise field_error("own", "a category is written twice")
        if self.json_schema is not None and (problem := find_schema_problem(self.json_schema)):
            raise field_error("schema", f"this is no JSON Schema: {problem}")
        return self

    def to_terms(self) -> SoftErrorTerms:
        """The terms as events store them."""
        return SoftErrorTerms(
            own=self.own, language=self.language, schema=self.json_schema, measure=self.measure or None
        )


class SurfaceFile(WrittenFile):
    """One AI feature."""

    version: Literal[1]
    kind: Literal["surface"]
    surface: Name
    title: str = Field(default="", max_length=200)
    owner: PersonReference
    live: LiveVersion
    daily_requests: Annotated[int, Field(ge=1, le=10**12)] | None = None
    notify: tuple[NoticeTerms, ...] = ()
    judging: JudgingFields | None = None
    flows: Annotated[dict[Name, Where], Field(max_length=20)] = Field(default_factory=dict)
    testers: Testers = ()
    sources: Annotated[tuple[SourceFields, ...], Field(max_length=10)] = ()
    metrics: MetricList = ()
    soft_errors: SoftErrorFields | None = None


def surface_from_file(file: SurfaceFile) -> SurfaceDeclared:
    """The event that applying this file records."""
    return SurfaceDeclared(
        surface=file.surface,
        title=file.title or file.surface,
        owner=file.owner,
        version=file.live.version,
        content=file.live.to_content(),
        daily_requests=file.daily_requests,
        notices=tuple(notice.to_notice_plan() for notice in file.notify),
        fingerprint=file.fingerprint,
        flows=file.flows or None,
        metrics=_list_metrics(file) or None,
        soft_errors=file.soft_errors.to_terms() if file.soft_errors is not None else None,
        judging=file.judging.to_terms() if file.judging is not None else None,
        testers=tuple(terms.to_tester() for terms in file.testers) or None,
        sources=tuple(source.to_terms() for source in file.sources) or None,
    )


def _list_metrics(file: SurfaceFile) -> tuple[Metric, ...]:
    """The surface's own metrics: those that it defines, and one for each criterion of its judge."""
    criteria = file.judging.criteria if file.judging is not None else ()
    return (
        *(terms.to_metric() for terms in file.metrics),
        *(build_metric(terms.to_criterion()) for terms in criteria),
    )
