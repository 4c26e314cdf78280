"""A metric of a team's own as written, `{name: resolution_rate, kind: rate, direction: up}`, in a surface or policy."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic import WithJsonSchema as Schema
from pydantic_core import PydanticCustomError

from core.files.sections.limit_terms import scale_level
from core.files.syntax.fields import Share, StrictModel, WrittenAmount, field_error
from core.files.syntax.problems import FileProblem
from core.files.syntax.yaml_with_lines import SourceFile
from core.metrics.catalogue import Metric
from core.metrics.own_metrics import MOST, OwnDirection, OwnKind, define_metric, is_name_taken

NAME_PATTERN = "[a-z][a-z0-9_]{1,59}"
_UNIT = re.compile(r"[^\W\d_][\w /.$-]{0,19}")


def _check_count(metrics: Any) -> Any:
    if isinstance(metrics, list | tuple) and len(metrics) > MOST:
        raise PydanticCustomError(
            "written",
            "{message}",
            {
                "message": f"{len(metrics)} metrics are too many: {MOST} at most. Each is judged, so each makes "
                "changes of the others harder to tell from chance"
            },
        )
    return metrics


class MetricTerms(StrictModel):
    """One metric: its name and kind, which way is good, and how people read it."""

    name: Annotated[str, Schema({"type": "string", "pattern": f"^{NAME_PATTERN}$"})]
    kind: OwnKind
    direction: OwnDirection
    title: str = Field(default="", max_length=80)
    unit: str = ""
    quantile: Share | None = None
    class_: Literal["limit", "signal"] = Field(default="limit", alias="class")
    usual: WrittenAmount | None = None
    cap: WrittenAmount | None = None

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if (problem := _find_name_problem(name)) is not None:
            raise ValueError(problem)
        return name

    @model_validator(mode="after")
    def _check_terms(self) -> "MetricTerms":
        if self.kind == "rate" and self.unit not in ("", "%"):
            raise field_error("unit", "a rate is in %: leave the unit out")
        if self.kind != "rate" and not self.unit:
            raise field_error("kind", f"a {self.kind} needs a unit, such as unit: words")
        if self.kind != "rate" and _UNIT.fullmatch(self.unit) is None:
            raise field_error(
                "unit", f'"{self.unit[:20]}" is not a unit: a word such as ms, US$ or words, of at most 20 letters'
            )
        if (self.quantile is not None) != (self.kind == "quantile"):
            needs = "a quantile says which one, such as quantile: 95%"
            field, why = ("kind", needs) if self.quantile is None else ("quantile", f"a {self.kind} has no quantile")
            raise field_error(field, why)
        if self.quantile is not None and not 0 < self.quantile < 1:
            raise field_error("quantile", "a quantile lies between 0 % and 100 %")
        if self.cap is not None and self.kind != "mean":
            raise field_error("cap", f"only the readings of a mean are capped, not those of a {self.kind}")
        amounts: tuple[Literal["usual", "cap"], ...] = ("usual", "cap")
        for field in amounts:
            try:
                self._scale(field)
            except ValueError as error:
                raise field_error(field, str(error)) from error
        return self

    def to_metric(self) -> Metric:
        """The metric as it is in events and plans."""
        return replace(self._define(), usual=self._scale("usual"), cap=self._scale("cap"))

    def _define(self) -> Metric:
        return define_metric(
            self.name,
            self.kind,
            self.direction,
            title=self.title,
            unit=self.unit,
            probability=self.quantile,
            is_signal=self.class_ == "signal",
        )

    def _scale(self, field: Literal["usual", "cap"]) -> float | None:
        """The amount in the metric's own unit; None where it is left out. ValueError if it has another unit."""
        amount = self.usual if field == "usual" else self.cap
        if amount is None:
            return None
        if amount.value < 0 or (amount.value == 0 and field == "cap"):
            raise ValueError("readings are at least 0" if field == "usual" else "a cap lies above 0")
        return scale_level(self._define(), amount)


MetricList = Annotated[tuple[MetricTerms, ...], BeforeValidator(_check_count)]


def check_metrics(source: SourceFile, metrics: Sequence[MetricTerms]) -> Iterator[FileProblem]:
    """Names that are written twice."""
    first: dict[str, int] = {}
    for number, terms in enumerate(metrics):
        if terms.name in first:
            path = ("metrics", first[terms.name], "name")
            line = source.find_spot(path).line
            yield source.problem_at(
                ("metrics", number, "name"), f"{terms.name} is defined twice; the first is on line {line}", also=path
            )
        first.setdefault(terms.name, number)


def _find_name_problem(name: str) -> str | None:
    if is_name_taken(name):
        return f"{name} is a metric of Rampart's own: report it as it is, or choose another name"
    strange = next((c for c in name if not (c.isascii() and (c.islower() or c.isdigit() or c == "_"))), None)
    if strange is not None:
        called = unicodedata.name(strange, "a control character").lower()
        return f'"{name[:60]}" holds {called}: a name has lower-case letters a to z, digits and _'
    if re.fullmatch(NAME_PATTERN, name) is None:
        return f'"{name[:60]}" is not a name: 2 to 60 lower-case letters, digits and _, beginning with a letter'
    return None
