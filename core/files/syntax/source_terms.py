"""Sources in a surface file: where metrics are pulled from, and which column says what."""

import re
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic import WithJsonSchema as Schema

from core.files.syntax.fields import Duration, Name, StrictModel, field_error
from core.rollout.state.sources import SourceColumns, SourceTerms, SqlRows

_VARIABLE = re.compile(r"SOURCE_[A-Z0-9_]{1,60}")
_COLUMN = re.compile(r"[^\W\d]\w{0,99}")
_TABLE = re.compile(r"[^\W\d]\w{0,99}(\.[^\W\d]\w{0,99}){0,2}")
_MIN_EVERY, _MAX_EVERY = timedelta(seconds=10), timedelta(days=1)
_MAX_LATE = timedelta(days=2)


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


_PATTERN = {"type": "string"}
Variable = Annotated[str, AfterValidator(_parse_variable), Schema({**_PATTERN, "pattern": f"^{_VARIABLE.pattern}$"})]
ColumnName = Annotated[str, AfterValidator(_parse_column)]
TableName = Annotated[str, AfterValidator(_parse_table)]
SelectText = Annotated[str, Field(max_length=20_000), AfterValidator(_parse_select)]


class SqlFields(StrictModel):
    """Rows of a database, and which column says what."""

    url: Variable
    table: TableName | None = None
    select: SelectText | None = None
    rows: Literal["requests", "readings"]
    unit: ColumnName
    at: ColumnName
    exposure: ColumnName | None = None
    variant: ColumnName | None = None
    version: ColumnName | None = None
    id: ColumnName | None = None
    segments: Annotated[dict[Name, ColumnName], Field(max_length=10)] = Field(default_factory=dict)
    metrics: Annotated[dict[Name, ColumnName], Field(min_length=1, max_length=40)]

    @model_validator(mode="after")
    def _check_whole(self) -> "SqlFields":
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
            metrics=self.metrics,
            segments=self.segments,
            table=self.table or "",
            select=self.select or "",
        )


class SourceFields(StrictModel):
    """One source of metrics, which workers read."""

    name: Name
    sql: SqlFields
    every: Duration = timedelta(minutes=5)
    delay: Duration = timedelta(0)
    late: Duration = timedelta(hours=1)
    timeout: Duration = timedelta(seconds=30)

    @model_validator(mode="after")
    def _check_times(self) -> "SourceFields":
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
            sql=self.sql.to_rows(),
        )
