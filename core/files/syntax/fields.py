"""The base models of all files, and the field types that several of them share."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    PrivateAttr,
    ValidationInfo,
)
from pydantic import WithJsonSchema as Schema
from pydantic_core import PydanticCustomError

from core import durations
from core.files.syntax import amounts
from core.files.syntax.yaml_with_lines import SourceFile
from core.metrics.catalogue import CATALOGUE, Metric
from core.metrics.own_metrics import OwnMetrics
from core.rollout.plans.plan import NoticePlan

ITEM, ITEMS = "[item]", "[items]"
"""Steps that pydantic adds to the path of a field that is one item or a list; no part of what people wrote."""
_SAME_WORD = 0.85  # of two names so alike one is the other, misspelt
PART_NAMES = ("prompt", "model", "params", "tools", "routing")
CODE = "code"  # a commit or a build: a part of a version that no form asks for


class StrictModel(BaseModel):
    """A model that refuses unknown fields and is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WrittenFile(StrictModel):
    """A whole file that knows where each of its values is written."""

    _source: SourceFile = PrivateAttr()

    @property
    def source(self) -> SourceFile:
        """The file as it was read, with the place of every value."""
        return self._source

    def attach_source(self, source: SourceFile) -> None:
        """Called once, after parsing. Frozen models allow setting private attributes."""
        self._source = source

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits; equal data has the same fingerprint, whatever its layout."""
        return self._source.fingerprint


def field_error(field: str, message: str) -> PydanticCustomError:
    """An error of a whole model that points at one of its fields."""
    return PydanticCustomError("written", "{message}", {"message": message, "field": field})


def only_value(value: Any, why: str) -> PlainValidator:
    """A validator for a field with a single allowed value; for any other value, the error is `why`."""

    def check_value(given: Any) -> Any:
        if given != value or type(given) is not type(value):
            raise ValueError(why)
        return value

    return PlainValidator(check_value)


def one_of(what: str, choices: Iterable[str]) -> AfterValidator:
    """A validator for a name from a list; the parser adds the nearest one to the message."""
    names = list(choices)

    def check_choice(name: str) -> str:
        if name not in names:
            context = {"message": f'unknown {what} "{name}"', "given": name, "choices": names}
            raise PydanticCustomError("unknown", "{message}", context)
        return name

    return AfterValidator(check_choice)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownMetrics:
    """The metrics besides the catalogue's that a rollout file may name: those of its surface, in `own` by name.

    `defined` are all that are known; None where no surface is, as when a file is checked alone.
    """

    surface: str = ""
    own: Mapping[str, Metric] = field(default_factory=dict)
    defined: OwnMetrics | None = None


def known_metrics(info: ValidationInfo) -> KnownMetrics:
    """The own metrics that the file being read may name."""
    return info.context if isinstance(info.context, KnownMetrics) else KnownMetrics()


def _check_metric(name: str, info: ValidationInfo) -> str:
    known = known_metrics(info)
    names = [*CATALOGUE, *known.own]
    if name in names:
        return name
    message = f'unknown metric "{name}"'
    owners = known.defined.find_owners(name) if known.defined is not None else ()
    if owners:
        message = f'"{name}" is a metric of {", ".join(owners)}, not of {known.surface}: define it there too'
    elif known.defined is None and not get_close_matches(name.lower(), names, n=1, cutoff=_SAME_WORD):
        message += ": if it is the surface's own, check the surface file along with this one"
    raise PydanticCustomError("unknown", "{message}", {"message": message, "given": name, "choices": names})


def _matching_pattern(pattern: str, message: str) -> AfterValidator:
    def check_pattern(text: str) -> str:
        if re.fullmatch(pattern, text) is None:
            raise ValueError(f'"{text}" {message}')
        return text

    return AfterValidator(check_pattern)


def _to_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _to_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValueError("Input should be a text, a number, or a list of them")


def _to_texts(value: Any) -> str | tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return _to_text(value)
    if not value:
        raise ValueError("an empty list fits nobody: write at least one value, or leave the condition out")
    return tuple(_to_text(item) for item in value)


def one_or_many_schema(item: dict[str, Any]) -> Schema:
    """The JSON Schema of a list whose only item may be written without the list."""
    return Schema({"anyOf": [item, {"type": "array", "items": item}]})


_SPAN = {"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)$", "examples": ["15m", "6h", "7d"]}
_SHARE = {"type": "string", "pattern": r"^\d+(\.\d+)?%$", "examples": ["92%"]}

Duration: TypeAlias = Annotated[timedelta, PlainValidator(durations.parse_duration), Schema(_SPAN)]
Percent: TypeAlias = Annotated[float, PlainValidator(amounts.parse_percent), Schema({"type": ["number", "string"]})]
Share: TypeAlias = Annotated[float, PlainValidator(amounts.parse_share), Schema(_SHARE)]
Factor: TypeAlias = Annotated[
    float,
    PlainValidator(amounts.parse_factor),
    Schema({"type": "string", "pattern": r"^\d+(\.\d+)?x$", "examples": ["2.5x"]}),
]
WrittenAmount: TypeAlias = Annotated[
    amounts.Amount,
    PlainValidator(amounts.parse_amount),
    Schema({"type": ["string", "number"], "examples": ["2pp", "15%", "4000ms"]}),
]
MetricKey: TypeAlias = Annotated[
    str,
    AfterValidator(_check_metric),
    Schema({"type": "string", "anyOf": [{"enum": list(CATALOGUE)}, {"pattern": "^[a-z][a-z0-9_]+$"}]}),
]
Name: TypeAlias = Annotated[
    str,
    _matching_pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", "is not a name: letters, digits, dots, dashes, at most 100"),
]
Channel: TypeAlias = Annotated[
    str, _matching_pattern(r"#[^\s#@,<>&]{1,80}", 'is not a channel: write it with a #, in quotes, like "#support"')
]
RoleChannel: TypeAlias = Annotated[
    str,
    _matching_pattern(r"#[^\s#@,<>&]{1,80}|[CG][A-Z0-9]{5,}", 'is not a channel: write it like "#support", or its id'),
]
PersonReference: TypeAlias = Annotated[
    str,
    _matching_pattern(
        r"@\S{1,80}|[UW][A-Z0-9]{5,}", 'is not a person: write a Slack handle like "@dana", or a user id'
    ),
]
Group: TypeAlias = Annotated[
    str, _matching_pattern(r"@\S{1,80}|S[A-Z0-9]{5,}", 'is not a user group: write it like "@ai-leads", or a group id')
]
Prose: TypeAlias = Annotated[str, Field(min_length=1, max_length=1000)]
Where: TypeAlias = Annotated[
    dict[str, Annotated[Any, PlainValidator(_to_texts), Schema({"type": ["string", "number", "boolean", "array"]})]],
    Field(min_length=1),
]
Audience: TypeAlias = Literal["engineering", "support", "marketing", "downstream"]
_Reader: TypeAlias = Literal["engineering", "support", "marketing", "downstream", "all"]
NoticeReaders: TypeAlias = Annotated[
    tuple[_Reader, ...],
    Field(min_length=1),
    BeforeValidator(_to_list),
    one_or_many_schema({"enum": list(get_args(_Reader))}),
]


class VersionParts(StrictModel):
    """What a version is made of. Parts that are left out are inherited."""

    version: Name | None = None
    prompt: JsonValue = None
    model: JsonValue = None
    params: dict[str, JsonValue] | None = None
    tools: list[JsonValue] | None = None
    routing: JsonValue = None
    code: Annotated[str, Field(min_length=1, max_length=200)] | None = None

    def to_content(self) -> dict[str, JsonValue]:
        """Only the parts that were written."""
        return {part: getattr(self, part) for part in (*PART_NAMES, CODE) if part in self.model_fields_set}


class NoticeTerms(StrictModel):
    """One channel to notify: its audience, and how long before the start."""

    channel: Channel
    audience: Audience = Field(alias="as")
    before: Duration | None = None
    acknowledge: bool = False

    def to_notice_plan(self) -> NoticePlan:
        """The notice as it is in the plan."""
        return NoticePlan(
            channel=self.channel, audience=self.audience, before=self.before or None, acknowledge=self.acknowledge
        )
