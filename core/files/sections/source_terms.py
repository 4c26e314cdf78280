"""Sources in a surface file: where metrics are pulled from, and which column says what."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic import WithJsonSchema as Schema

from core.files.syntax.fields import ITEM, ITEMS, Duration, Name, StrictModel, field_error
from core.rollout.state.sources import (
    CountedMetric,
    PrometheusCounters,
    RatioColumns,
    SourceColumns,
    SourceTerms,
    SqlRows,
    TraceRows,
    TraceSystem,
)

_VARIABLE = re.compile(r"SOURCE_[A-Z0-9_]{1,60}")
_COLUMN = re.compile(r"[^\W\d]\w{0,99}")
_TABLE = re.compile(r"[^\W\d]\w{0,99}(\.[^\W\d]\w{0,99}){0,2}")
_COUNTER = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,199}")
_FACTS = frozenset(
    ("user", "session", "trace", "request", "name", "version", "release", "environment", "latency_ms", "cost", "error")
)
_INNER_FACT = re.compile(r"(metadata|tag|attribute|score)\.[^\x00-\x1f]{1,200}")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}")
MAX_REQUESTS_PER_UNIT = 10_000
_MIN_EVERY, _MAX_EVERY = timedelta(seconds=10), timedelta(days=1)
_MAX_LATE = timedelta(days=2)
_MAX_LATE_TRACES = timedelta(hours=12)


def _parse_variable(text: str) -> str:
    if _VARIABLE.fullmatch(text) is None:
        raise ValueError(
            "this is the name of a variable, not an address: SOURCE_ and capitals, as in SOURCE_WAREHOUSE_URL. The "
            "address, which holds a password, is set where the worker runs"
        )
    return text


def _parse_column(text: str) -> str:
    if _COLUMN.fullmatch(text) is None:
        raise ValueError(f'"{text[:80]}" is not the name of a column: letters, digits and _; for more, write a select')
    return text


def _parse_table(text: str) -> str:
    if _TABLE.fullmatch(text) is None:
        raise ValueError(
            f'"{text[:80]}" is not the name of a table, such as analytics.requests; for more, write a select'
        )
    return text


def _parse_select(text: str) -> str:
    bare = text.strip()
    if not re.match(r"(select|with)\b", bare, re.IGNORECASE):
        raise ValueError("write one SELECT: a source is only ever read")
    if ";" in bare:
        raise ValueError("write one statement, without a semicolon")
    if "\x00" in bare:
        raise ValueError("a statement holds no NUL")
    return bare


def _parse_counter(text: str) -> str:
    if _COUNTER.fullmatch(text) is None:
        raise ValueError(f'"{text[:80]}" is not the name of a counter, such as assistant_requests_total')
    return text


def _parse_fact(text: str) -> str:
    if text not in _FACTS and _INNER_FACT.fullmatch(text) is None:
        known = ", ".join(sorted(_FACTS))
        raise ValueError(
            f'"{text[:80]}" is no fact of a trace: {known}, or a name after metadata., tag., attribute. or score.'
        )
    return text


def _parse_label(text: str) -> str:
    if _LABEL.fullmatch(text) is None:
        raise ValueError(f'"{text[:80]}" is not the name of a label, such as variant')
    return text


_PATTERN = {"type": "string"}
Variable = Annotated[str, AfterValidator(_parse_variable), Schema({**_PATTERN, "pattern": f"^{_VARIABLE.pattern}$"})]
ColumnName = Annotated[str, AfterValidator(_parse_column)]
TableName = Annotated[str, AfterValidator(_parse_table)]
SelectText = Annotated[str, Field(max_length=20_000), AfterValidator(_parse_select)]

CounterName = Annotated[str, AfterValidator(_parse_counter)]
LabelName = Annotated[str, AfterValidator(_parse_label)]
FactName = Annotated[str, AfterValidator(_parse_fact)]
LabelValue = Annotated[str, Field(min_length=1, max_length=200)]


class RatioFields(StrictModel):
    """The columns of a ratio."""

    numerator: ColumnName
    denominator: ColumnName

    def to_columns(self) -> RatioColumns:
        """The columns as events store them."""
        return RatioColumns(numerator=self.numerator, denominator=self.denominator)


def _tell_ratio(given: Any) -> str:
    return ITEMS if isinstance(given, dict | RatioFields) else ITEM


MetricColumns: TypeAlias = Annotated[
    Annotated[ColumnName, Tag(ITEM)] | Annotated[RatioFields, Tag(ITEMS)], Discriminator(_tell_ratio)
]
"""The column of a metric, or the two of a ratio."""


class SqlFields(StrictModel):
    """Rows of a database, and which column says what."""

    url: Variable
    table: TableName | None = None
    select: SelectText | None = None
    rows: Literal["requests", "readings", "complaints"]
    unit: ColumnName
    at: ColumnName
    exposure: ColumnName | None = None
    variant: ColumnName | None = None
    version: ColumnName | None = None
    id: ColumnName | None = None
    segments: Annotated[dict[Name, ColumnName], Field(max_length=10)] = Field(default_factory=dict)
    metrics: Annotated[dict[Name, MetricColumns], Field(max_length=40)] = Field(default_factory=dict)
    error_category: ColumnName | None = None

    @model_validator(mode="after")
    def _check_whole(self) -> "SqlFields":
        if self.rows == "complaints":
            told = ("metrics", "segments", "error_category")
            if extra := next((name for name in told if getattr(self, name)), None):
                raise field_error(extra, "each row is one complaint, and counts for everyone: leave this out")
        elif not self.metrics and self.error_category is None:
            raise field_error(
                "metrics", "name at least one column that is counted: of a metric, or of the error_category"
            )
        if (self.table is None) == (self.select is None):
            raise field_error("table", "write either a table or a select")
        if self.exposure is None and self.variant is None and self.version is None:
            raise field_error(
                "unit",
                "name the column of the exposure (or of the variant, or the version) that the evaluation returned",
            )
        return self

    def to_rows(self) -> SqlRows:
        """The rows as events store them."""
        ratios = {key: one.to_columns() for key, one in self.metrics.items() if isinstance(one, RatioFields)}
        return SqlRows(
            url=self.url,
            rows=self.rows,
            columns=SourceColumns(
                unit=self.unit,
                at=self.at,
                exposure=self.exposure or "",
                variant=self.variant or "",
                version=self.version or "",
                id=self.id or "",
            ),
            metrics={key: one for key, one in self.metrics.items() if isinstance(one, str)},
            segments=self.segments,
            table=self.table or "",
            select=self.select or "",
            error_category=self.error_category,
            ratios=ratios or None,
        )


class TraceFields(StrictModel):
    """Traces of a tool that keeps them, and which fact of a trace says what."""

    url: Variable
    rows: Literal["requests", "readings"]
    unit: FactName
    exposure: FactName | None = None
    variant: FactName | None = None
    version: FactName | None = None
    id: FactName | None = None
    segments: Annotated[dict[Name, FactName], Field(max_length=10)] = Field(default_factory=dict)
    metrics: Annotated[dict[Name, FactName], Field(min_length=1, max_length=40)]

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.exposure is None and self.variant is None and self.version is None:
            raise field_error(
                "unit", "name the fact that holds the exposure (or the variant, or the version) of the evaluation"
            )
        return self

    def to_traces(self, system: TraceSystem, project: str = "") -> TraceRows:
        """The traces as events store them."""
        return TraceRows(
            url=self.url,
            system=system,
            rows=self.rows,
            columns=SourceColumns(
                unit=self.unit,
                at="",
                exposure=self.exposure or "",
                variant=self.variant or "",
                version=self.version or "",
                id=self.id or "",
            ),
            metrics=self.metrics,
            segments=self.segments,
            project=project,
        )


class ProjectTraceFields(TraceFields):
    """Traces of a project that the address does not tell."""

    project: Annotated[str, Field(min_length=1, max_length=200)]


class CountedFields(StrictModel):
    """From which counters a metric follows."""

    counter: CounterName | None = None
    of: CounterName | None = None
    histogram: CounterName | None = None
    scale: Annotated[float, Field(gt=0, le=1e9)] = 1.0

    @model_validator(mode="after")
    def _check_whole(self) -> "CountedFields":
        if (self.counter is None) == (self.histogram is None):
            raise field_error("counter", "write either a counter, with what it is counted of, or a histogram")
        if (self.counter is None) != (self.of is None):
            raise field_error("of", "a counter has what it is counted of, as in of: assistant_requests_total")
        return self

    def to_counted(self) -> CountedMetric:
        """The counters as events store them."""
        return CountedMetric(
            counter=self.counter or "", of=self.of or "", histogram=self.histogram or "", scale=self.scale
        )


class PrometheusFields(StrictModel):
    """Counters of a Prometheus, and which label says to which side they belong."""

    url: Variable
    exposure: LabelName | None = None
    variant: LabelName | None = None
    version: LabelName | None = None
    match: Annotated[dict[LabelName, LabelValue], Field(max_length=10)] = Field(default_factory=dict)
    requests: CounterName | None = None
    requests_per_unit: Annotated[float, Field(ge=1, le=MAX_REQUESTS_PER_UNIT)] = 10.0
    metrics: Annotated[dict[Name, CountedFields], Field(min_length=1, max_length=40)]

    @model_validator(mode="after")
    def _check_whole(self) -> "PrometheusFields":
        if sum(one is not None for one in (self.exposure, self.variant, self.version)) != 1:
            raise field_error(
                "metrics", "name one label: that of the exposure, the variant or the version that was served"
            )
        return self

    def to_counters(self) -> PrometheusCounters:
        """The counters as events store them."""
        label = self.exposure or self.variant or self.version
        assert label is not None
        return PrometheusCounters(
            url=self.url,
            side="exposure" if self.exposure else "variant" if self.variant else "version",
            label=label,
            metrics={key: counted.to_counted() for key, counted in self.metrics.items()},
            match=self.match,
            requests=self.requests or "",
            requests_per_unit=self.requests_per_unit,
        )


class SourceFields(StrictModel):
    """One source of metrics, which workers read."""

    name: Name
    sql: SqlFields | None = None
    prometheus: PrometheusFields | None = None
    langfuse: TraceFields | None = None
    phoenix: ProjectTraceFields | None = None
    mlflow: ProjectTraceFields | None = None
    every: Duration = timedelta(minutes=5)
    delay: Duration = timedelta(0)
    late: Duration = timedelta(hours=1)
    timeout: Duration = timedelta(seconds=30)

    @model_validator(mode="after")
    def _check_whole(self) -> "SourceFields":
        kinds = (self.sql, self.prometheus, self.langfuse, self.phoenix, self.mlflow)
        if sum(one is not None for one in kinds) != 1:
            raise field_error("name", "a source is one of sql, prometheus, langfuse, phoenix and mlflow")
        if self.sql is None and self.prometheus is None and self.late > _MAX_LATE_TRACES:
            raise field_error("late", "traces are read again for at most 12h: what was counted is remembered for a day")
        if not _MIN_EVERY <= self.every <= _MAX_EVERY:
            raise field_error("every", "read a source at most every 10s and at least once in 1d")
        if not timedelta(0) <= self.delay <= _MAX_EVERY:
            raise field_error("delay", "a delay is at most 1d")
        if not timedelta(0) <= self.late <= _MAX_LATE:
            raise field_error("late", "rows count up to 2d after the end of their stage")
        if not timedelta(seconds=1) <= self.timeout <= timedelta(minutes=10):
            raise field_error("timeout", "give a pull between 1s and 10m")
        return self

    def to_terms(self) -> SourceTerms:
        """The terms as events store them."""
        return SourceTerms(
            name=self.name,
            every=self.every,
            delay=self.delay,
            late=self.late,
            timeout=self.timeout,
            sql=self.sql.to_rows() if self.sql else None,
            prometheus=self.prometheus.to_counters() if self.prometheus else None,
            traces=self._to_traces(),
        )

    def _to_traces(self) -> TraceRows | None:
        if self.langfuse is not None:
            return self.langfuse.to_traces("langfuse")
        if self.phoenix is not None:
            return self.phoenix.to_traces("phoenix", self.phoenix.project)
        return self.mlflow.to_traces("mlflow", self.mlflow.project) if self.mlflow is not None else None
