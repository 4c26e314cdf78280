"""The surface file: an AI feature and what is live on it today."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from core.files.syntax.fields import Name, NoticeTerms, Parts, Person, Written, wrong
from core.rollout.surface import SurfaceDeclared


class Live(Parts):
    """The version that everybody gets when the surface is applied for the first time."""

    version: Name

    @model_validator(mode="after")
    def _something(self) -> "Live":
        if not self.content():
            raise wrong("version", "the live version is empty: write its prompt, model, params, tools or routing")
        return self


class SurfaceFile(Written):
    """One AI feature."""

    version: Literal[1]
    kind: Literal["surface"]
    surface: Name
    title: str = Field(default="", max_length=200)
    owner: Person
    live: Live
    daily_requests: Annotated[int, Field(ge=1, le=10**12)] | None = None
    notify: tuple[NoticeTerms, ...] = ()


def surface_of(file: SurfaceFile) -> SurfaceDeclared:
    """The event that applying this file records."""
    return SurfaceDeclared(
        surface=file.surface,
        title=file.title or file.surface,
        owner=file.owner,
        version=file.live.version,
        content=file.live.content(),
        daily_requests=file.daily_requests,
        notices=tuple(notice.plan() for notice in file.notify),
        fingerprint=file.fingerprint,
    )
