"""The surface file: an AI feature and what is live on it today."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from core.files.syntax.fields import Name, NoticeTerms, PersonReference, VersionParts, WrittenFile, field_error
from core.rollout.surface import SurfaceDeclared


class LiveVersion(VersionParts):
    """The version that everybody gets when the surface is applied for the first time."""

    version: Name

    @model_validator(mode="after")
    def _check_not_empty(self) -> "LiveVersion":
        if not self.to_content():
            raise field_error("version", "the live version is empty: write its prompt, model, params, tools or routing")
        return self


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
    )
