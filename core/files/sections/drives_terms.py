"""The `drives` section of a rollout file: the flag systems and labels that the rollout drives, by their rows."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Discriminator, Field, PlainValidator, Tag, create_model, model_validator
from pydantic import WithJsonSchema as Schema

from core.files.syntax.fields import ITEM, ITEMS, Name, StrictModel, field_error
from core.rollout.plans.driven_systems import (
    DRIVEN_SYSTEMS,
    DrivenSystem,
    FieldForm,
    SystemField,
)
from core.rollout.plans.plan import DrivenFlag

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9 _.:@/-]{0,199}")
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.json")
_BELOW = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._~-]*)*/?")


def parse_address(text: object) -> str:
    """Parse an address into the form in which it is compared: lower-case scheme and host, no slash at the end."""
    said = 'write an address like "https://flags.example.com", without a query, a user or a password'
    if not isinstance(text, str):
        raise ValueError(said)  # noqa: TRY004 - pydantic reports only ValueError as a problem of the file
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(said) from error
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    bare = not parts.query and not parts.fragment and text.isascii() and not text.endswith(("?", "#"))
    if (
        parts.scheme not in ("http", "https")
        or not _HOST.fullmatch(host)
        or not _BELOW.fullmatch(parts.path)
        or not bare
    ):
        raise ValueError(said)
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def _parse_path(text: str) -> str:
    if _PATH.fullmatch(text) is None or any(part in {"", ".", ".."} for part in text.split("/")):
        raise ValueError(f'"{text[:80]}" is not a name: letters, digits, spaces and . _ : @ / -, at most 200')
    return text


def _parse_file(text: str) -> str:
    if _FILE.fullmatch(text) is None:
        raise ValueError(f'"{text[:80]}" is not the name of a JSON file without a folder, such as flags.json')
    return text


def _parse_version(given: object) -> str:
    if isinstance(given, int) and not isinstance(given, bool) and given > 0:
        return str(given)
    if isinstance(given, str) and re.fullmatch(r"[1-9][0-9]{0,17}", given):
        return given
    raise ValueError("write the number of a version, such as 4")


Address: TypeAlias = Annotated[
    str,
    PlainValidator(parse_address),
    Schema({"type": "string", "format": "uri", "examples": ["https://flags.example.com"]}),
]
_TYPES: Mapping[FieldForm, Any] = {
    FieldForm.ADDRESS: Address,
    FieldForm.NAME: Name,
    FieldForm.PATH: Annotated[str, AfterValidator(_parse_path)],
    FieldForm.FILE: Annotated[str, AfterValidator(_parse_file)],
    FieldForm.VERSION: Annotated[
        str, PlainValidator(_parse_version), Schema({"type": ["integer", "string"], "examples": [4]})
    ],
    FieldForm.MOVES: Literal["everyone", "first_stage"],
}


class SystemTerms(StrictModel):
    """What is driven in one system; its fields are those of the system's row."""


def _build_terms(name: str, system: DrivenSystem) -> type[SystemTerms]:
    fields: dict[str, Any] = {field.written: (_TYPES[field.form], _default_of(field)) for field in system.fields}
    model: type[SystemTerms] = create_model(f"{name.capitalize()}Terms", __base__=SystemTerms, **fields)
    return model


def _default_of(field: SystemField) -> Any:
    return ... if field.default is None else field.default


class OneOfTheSystems(StrictModel):
    """A system by its name, and what is driven in it."""

    @model_validator(mode="after")
    def _check_one(self) -> "OneOfTheSystems":
        named = [name for name in DRIVEN_SYSTEMS if getattr(self, name) is not None]
        if not named:
            raise field_error("", f"name what is driven: {', '.join(f'{name}: …' for name in DRIVEN_SYSTEMS)}")
        if len(named) > 1:
            message = "one entry names one system: write a list, with a line that begins with - for each"
            raise field_error(named[1], message)
        return self

    @property
    def system(self) -> str:
        """The name of the system."""
        return next(name for name in DRIVEN_SYSTEMS if getattr(self, name) is not None)

    def to_driven_flag(self) -> DrivenFlag:
        """The flag as it is in the plan."""
        terms: SystemTerms = getattr(self, self.system)
        held = {field.held: getattr(terms, field.written) for field in DRIVEN_SYSTEMS[self.system].fields}
        return DrivenFlag(system=self.system, **{"url": "", "project": "", "environment": "", "strategy": "", **held})


if TYPE_CHECKING:
    DrivesTerms: TypeAlias = OneOfTheSystems
else:
    DrivesTerms = create_model(
        "DrivesTerms",
        __base__=OneOfTheSystems,
        **{name: (_build_terms(name, system) | None, None) for name, system in DRIVEN_SYSTEMS.items()},
    )


def _tell_one_from_many(given: Any) -> str:
    return ITEMS if isinstance(given, list | tuple) else ITEM


Drives: TypeAlias = Annotated[
    Annotated[DrivesTerms, Tag(ITEM)] | Annotated[tuple[DrivesTerms, ...], Field(min_length=1), Tag(ITEMS)],
    Discriminator(_tell_one_from_many),
]
"""One system, or a list of them."""


def to_drives(written: OneOfTheSystems | tuple[OneOfTheSystems, ...]) -> DrivenFlag | tuple[DrivenFlag, ...]:
    """What the plan holds: one alone, and several as a tuple."""
    entries = written if isinstance(written, tuple) else (written,)
    driven = tuple(entry.to_driven_flag() for entry in entries)
    return driven[0] if len(driven) == 1 else driven
