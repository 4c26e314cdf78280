"""An AI feature: what is live on it, every version it ever had, and which rollout is changing it now."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, TypeAlias, assert_never

from core.rollout.plan import Content, NoticePlan


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceDeclared:
    """Somebody applied a surface file. It sets what is live only the first time: later only a rollout moves that."""

    TYPE: ClassVar[str] = "surface.declared"
    surface: str
    title: str
    owner: str
    version: str
    content: Content
    daily_requests: int | None
    notices: tuple[NoticePlan, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionNamed:
    """A rollout was planned, and with it the name and content of a version came to be."""

    TYPE: ClassVar[str] = "surface.version_named"
    version: str
    content: Content
    rollout: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceTaken:
    """A rollout began on this surface."""

    TYPE: ClassVar[str] = "surface.taken"
    rollout: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceFreed:
    """The rollout on this surface ended."""

    TYPE: ClassVar[str] = "surface.freed"
    rollout: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveMoved:
    """Another version is what everybody gets by default now."""

    TYPE: ClassVar[str] = "surface.live_moved"
    version: str
    rollout: str
    at: datetime


SurfaceEvent: TypeAlias = SurfaceDeclared | VersionNamed | SurfaceTaken | SurfaceFreed | LiveMoved


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    name: str
    title: str
    owner: str
    live: str  # the version everybody gets by default
    versions: Mapping[str, Content]  # every version ever named here, by name
    daily_requests: int | None = None
    notices: tuple[NoticePlan, ...] = ()
    fingerprint: str = ""
    running: tuple[str, ...] = field(default=())  # ids of rollouts that began and have not ended
    live_since: datetime | None = None
    live_by: str = ""  # the rollout that made it live

    @property
    def live_content(self) -> Content:
        return self.versions[self.live]


def evolve(surface: Surface | None, event: SurfaceEvent) -> Surface:
    """The surface after `event`. Never refuses: what happened, happened."""
    if isinstance(event, SurfaceDeclared):
        if surface is None:
            return Surface(
                name=event.surface,
                title=event.title,
                owner=event.owner,
                live=event.version,
                versions={event.version: event.content},
                daily_requests=event.daily_requests,
                notices=event.notices,
                fingerprint=event.fingerprint,
            )
        return replace(
            surface,
            title=event.title,
            owner=event.owner,
            daily_requests=event.daily_requests,
            notices=event.notices,
            fingerprint=event.fingerprint,
        )
    assert surface is not None, "a surface begins by being declared"
    match event:
        case VersionNamed():
            return replace(surface, versions={**surface.versions, event.version: event.content})
        case SurfaceTaken():
            return replace(surface, running=(*surface.running, event.rollout))
        case SurfaceFreed():
            return replace(surface, running=tuple(r for r in surface.running if r != event.rollout))
        case LiveMoved():
            return replace(surface, live=event.version, live_since=event.at, live_by=event.rollout)
        case _:
            assert_never(event)


def next_version(surface: Surface) -> str:
    """One above the highest version ever used here: `v43` after `v42`; `v1` where names have no number."""
    numbers = [int(v[1:]) for v in surface.versions if v[:1] == "v" and v[1:].isdigit()]
    return f"v{max(numbers, default=0) + 1}"
