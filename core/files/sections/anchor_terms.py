"""The `anchors` of a surface's judge: written in the surface file, or in a file beside it."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainValidator, ValidationError
from pydantic import WithJsonSchema as Schema

from core.files.syntax import amounts
from core.files.syntax.fields import Name, StrictModel
from core.files.syntax.problems import UnreadableFile
from core.files.syntax.yaml_with_lines import parse_yaml
from core.shadow_eval.anchors import LEAST_ANCHORS, MOST_ANCHORS, AnchorLabel, JudgeAnchor

MOST_TEXT = 20_000  # characters, as of an answer that is handed in


class AnchorTerms(StrictModel):
    """One anchor: a question with a fixed answer, and what people say of it."""

    id: Name
    question: str = Field(default="", max_length=MOST_TEXT)
    answer: str = Field(max_length=MOST_TEXT)
    label: AnchorLabel | None = None

    def to_anchor(self) -> JudgeAnchor:
        """The anchor as events store it."""
        return JudgeAnchor(id=self.id, question=self.question, answer=self.answer, label=self.label)


def _read_list(written: Any) -> Any:
    """The list of anchors, if it was read from a file beside this one as a text."""
    if not isinstance(written, str):
        return written
    try:
        source = parse_yaml(written, "anchors")
    except UnreadableFile as unreadable:
        first = unreadable.problems[0]
        raise ValueError(f"line {first.line} of the file of anchors: {first.message}") from None
    if not isinstance(source.data, list):
        raise ValueError("the file of anchors must be a list in YAML or JSON, each with an id and an answer")  # noqa: TRY004
    for number, one in enumerate(source.data):
        try:
            AnchorTerms.model_validate(one)
        except ValidationError as invalid:
            first_error = invalid.errors(include_url=False)[0]
            line = source.find_spot((number, *first_error["loc"])).line
            what = ".".join(str(step) for step in first_error["loc"])
            said = f"{what}: {first_error['msg']}" if what else first_error["msg"]
            raise ValueError(f"line {line} of the file of anchors: {said}") from None
    return source.data


_WRITTEN = Schema(
    {
        "anyOf": [
            {"type": "array", "items": {"type": "object", **AnchorTerms.model_json_schema()}},
            {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]},
        ]
    }
)
Anchors = Annotated[
    tuple[AnchorTerms, ...],
    Field(min_length=LEAST_ANCHORS, max_length=MOST_ANCHORS),
    BeforeValidator(_read_list),
    _WRITTEN,
]


def _parse_dollars(written: object) -> float:
    given = amounts.parse_amount(written)
    if given.unit is not amounts.Unit.DOLLARS or given.value <= 0:
        raise ValueError(f'"{written}" is not an amount of money: write $0.004 or $25')
    return given.value


Dollars = Annotated[
    float,
    PlainValidator(_parse_dollars),
    Schema({"type": "string", "pattern": r"^\$\d+(\.\d+)?$", "examples": ["$25"]}),
]
