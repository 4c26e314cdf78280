"""The `criteria` of a surface's judge: built-in ones by name, and a team's own with what the judge is asked."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic import WithJsonSchema as Schema

from core.files.syntax.fields import StrictModel, field_error
from core.shadow_eval.rubric import BUILT_IN_CRITERIA, MOST_CRITERIA, JudgingCriterion

CriterionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


class CriterionTerms(StrictModel):
    """One criterion. A built-in one needs only its name, and may be asked in other words."""

    name: CriterionName
    title: str = Field(default="", max_length=80)
    asks: str = Field(default="", max_length=1000)

    @model_validator(mode="after")
    def _check_asked(self) -> "CriterionTerms":
        if not self.asks and self.name not in BUILT_IN_CRITERIA:
            known = ", ".join(BUILT_IN_CRITERIA)
            raise field_error(
                "name", f'"{self.name}" is not built in ({known}): say what the judge is asked, in `asks`'
            )
        return self

    def to_criterion(self) -> JudgingCriterion:
        """The criterion as events store it."""
        known = BUILT_IN_CRITERIA.get(self.name)
        title = self.title or (known.title if known is not None else self.name.replace("_", " ").capitalize())
        return JudgingCriterion(
            name=self.name, title=title, asks=self.asks or (known.asks if known is not None else "")
        )


def _to_terms(written: Any) -> Any:
    return {"name": written} if isinstance(written, str) else written


_WRITTEN = Schema(
    {"anyOf": [{"enum": list(BUILT_IN_CRITERIA)}, {"type": "object", **CriterionTerms.model_json_schema()}]}
)
Criteria = Annotated[
    tuple[Annotated[CriterionTerms, BeforeValidator(_to_terms), _WRITTEN], ...], Field(max_length=MOST_CRITERIA)
]
