"""An AI feature: what is live on it, every version it ever had, and which rollout is changing it now."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar, TypeAlias, assert_never

from core.rollout.plan import Content, NoticePlan, content_hash


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
    """A rollout was planned, and with it the name and content of a version came to be: one for ever. In older logs a
    second content under a taken name is only what that rollout is about; it renames nothing."""

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
    versions: Mapping[str, Content]  # every version ever named here, by name; the live one as it is served
    named: Mapping[str, tuple[str, Content]] = field(default_factory=dict)  # rollout -> the version that it is about
    daily_requests: int | None = None
    notices: tuple[NoticePlan, ...] = ()
    fingerprint: str = ""
    running: tuple[str, ...] = field(default=())  # ids of rollouts that began and have not ended
    authors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # content hash -> who applied it long ago
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
            known = event.version in surface.versions
            return replace(
                surface,
                versions=surface.versions if known else {**surface.versions, event.version: event.content},
                named={**surface.named, event.rollout: (event.version, event.content)},
            )
        case SurfaceTaken():
            return replace(surface, running=(*surface.running, event.rollout))
        case SurfaceFreed():
            return replace(surface, running=tuple(r for r in surface.running if r != event.rollout))
        case LiveMoved():
            return replace(
                surface,
                live=event.version,
                versions={**surface.versions, event.version: _moved_to(surface, event)},
                live_since=event.at,
                live_by=event.rollout,
            )
        case _:
            assert_never(event)


def without_rollouts(surface: Surface, ended: Mapping[str, tuple[str, ...]]) -> Surface:
    """The surface without what it knows of these rollouts, given with who applied them; every version keeps its content
    and its authors."""
    authors = dict(surface.authors)
    for rollout, planners in ended.items():
        if rollout in surface.named:
            content = content_hash(surface.named[rollout][1])
            authors[content] = tuple(dict.fromkeys((*authors.get(content, ()), *planners)))
    named = {rollout: one for rollout, one in surface.named.items() if rollout not in ended}
    return replace(surface, named=named, authors=authors)


def _moved_to(surface: Surface, event: LiveMoved) -> Content:
    """The content that went live: forward what that rollout is about, back what was live under that name."""
    version, content = surface.named.get(event.rollout, ("", {}))
    return content if version == event.version else surface.versions[event.version]


def is_taken(surface: Surface, version: str, content: Content) -> bool:
    """Whether `version` names another content already."""
    known = surface.versions.get(version)
    return known is not None and content_hash(known) != content_hash(content)


def next_version(surface: Surface) -> str:
    """One above the highest version ever used here: `v43` after `v42`; `v1` where names have no number."""
    numbers = [int(v[1:]) for v in surface.versions if v[:1] == "v" and v[1:].isdigit()]
    return f"v{max(numbers, default=0) + 1}"
