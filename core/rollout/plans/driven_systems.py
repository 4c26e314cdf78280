"""The systems that a rollout can drive, one row each: what a file says of them, and what they can express."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

EVERYONE, FIRST_STAGE = "everyone", "first_stage"
"""When a label moves to the new version: once everybody gets it, or with the first people who do."""


class FieldForm(StrEnum):
    """How a field of a driven system is written."""

    ADDRESS = "address"  # of a server: https, without a query, a user or a password
    NAME = "name"
    PATH = "path"  # a name that may have folders, or spaces
    FILE = "file"  # the name of a file, without a folder
    VERSION = "version"  # a number
    MOVES = "moves"


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemField:
    """One field: its name in a file, and which field of a `DrivenFlag` holds it."""

    written: str
    held: str
    form: FieldForm = FieldForm.NAME
    default: str | None = None  # None: it has to be written


@dataclass(frozen=True, slots=True, kw_only=True)
class DrivenSystem:
    """One row: what people call the system, how it is named in a file, and what it can express."""

    title: str
    told_by: str  # the field of a `DrivenFlag` that tells two of one name apart, for people
    fields: tuple[SystemField, ...]
    step: float = 0.0  # the smallest difference of two percentages; 0 for a label, which knows none
    is_label: bool = False
    reserved: str = ""  # a pattern of labels that the system moves itself, or refuses from others

    @property
    def default_address(self) -> str:
        """Where it is unless the settings say otherwise; empty if that has to be said."""
        return next((field.default or "" for field in self.fields if field.form is FieldForm.ADDRESS), "")

    @property
    def address_field(self) -> str:
        """Where a file names the server; empty if there is none."""
        return next((field.written for field in self.fields if field.form is FieldForm.ADDRESS), "")


def _field(written: str, held: str = "", form: FieldForm = FieldForm.NAME, default: str | None = None) -> SystemField:
    return SystemField(written=written, held=held or written, form=form, default=default)


_URL = _field("url", form=FieldForm.ADDRESS)
_MOVES = _field("moves", form=FieldForm.MOVES, default=EVERYONE)

DRIVEN_SYSTEMS: Mapping[str, DrivenSystem] = {
    "unleash": DrivenSystem(
        title="Unleash",
        told_by="environment",
        fields=(
            _URL,
            _field("project", default="default"),
            _field("environment"),
            _field("feature"),
            _field("strategy"),
        ),
        step=1.0,
    ),
    "launchdarkly": DrivenSystem(
        title="LaunchDarkly",
        told_by="environment",
        fields=(
            _field("url", form=FieldForm.ADDRESS, default="https://app.launchdarkly.com"),
            _field("project", default="default"),
            _field("environment"),
            _field("flag", "feature"),
            _field("variation", "new"),
            _field("otherwise", "old"),
        ),
        step=0.001,
    ),
    "growthbook": DrivenSystem(
        title="GrowthBook",
        told_by="strategy",
        fields=(
            _field("url", form=FieldForm.ADDRESS, default="https://api.growthbook.io/api"),
            _field("feature", form=FieldForm.PATH),
            _field("rule", "strategy"),
        ),
        step=0.01,
    ),
    "flagd": DrivenSystem(
        title="flagd",
        told_by="url",
        fields=(
            _field("file", "url", FieldForm.FILE),
            _field("flag", "feature", FieldForm.PATH),
            _field("variant", "new", FieldForm.PATH),
            _field("otherwise", "old", FieldForm.PATH),
        ),
        step=0.001,
    ),
    "mlflow": DrivenSystem(
        title="MLflow",
        told_by="strategy",
        fields=(
            _URL,
            _field("model", "feature", FieldForm.PATH),
            _field("alias", "strategy"),
            _field("version", "new", FieldForm.VERSION),
            _field("from", "old", FieldForm.VERSION),
            _MOVES,
        ),
        is_label=True,
        reserved="latest|v[0-9]+",
    ),
    "langfuse": DrivenSystem(
        title="Langfuse",
        told_by="strategy",
        fields=(
            _field("url", form=FieldForm.ADDRESS, default="https://cloud.langfuse.com"),
            _field("prompt", "feature", FieldForm.PATH),
            _field("label", "strategy"),
            _field("version", "new", FieldForm.VERSION),
            _field("from", "old", FieldForm.VERSION),
            _MOVES,
        ),
        is_label=True,
        reserved="latest",
    ),
}
"""By the name that a file gives."""
