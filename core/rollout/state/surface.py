"""A surface (an AI feature): what is live on it, every version it has had, and which rollout is changing it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, TypeAlias, assert_never

from core.metrics.catalogue import Metric
from core.rollout.plans.baseline import SurfaceBaseline
from core.rollout.plans.plan import Content, NoticePlan, Tester, content_hash
from core.rollout.refusal import NotFound
from core.rollout.state.sources import SourceTerms
from core.shadow_eval.anchors import JudgeAnchor
from core.shadow_eval.rubric import JudgingCriterion


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingTerms:
    """How answers are judged while a rollout runs. `share` is a fraction of the new version's answers; as many of the
    current version's are taken."""

    judge: str  # its name with its version: another prompt or model is another judge
    share: float
    keep: timedelta  # how long the texts are kept
    most: int  # answers of one rollout that are kept at a time
    criteria: tuple[JudgingCriterion, ...] | None = None  # what it scores besides; None: nothing
    anchors: tuple[JudgeAnchor, ...] | None = None  # what it is given again and again; None: nothing
    anchors_every: timedelta | None = None
    cost: float | None = None  # dollars that one judgement costs, unless the judge tells; None: not known
    cap: float | None = None  # dollars that judging one rollout may cost; None: any amount


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftErrorTerms:
    """Categories of soft errors of a surface's own, and what its answers are held against.

    `language` is a language code, or `segment` for the segment `language` of each answer; empty if any will do.
    `schema` is the JSON Schema of an answer; None if it is no JSON. `measure` says what rules read off every answer
    for which own metric; None for none.
    """

    own: tuple[str, ...] = ()
    language: str = ""
    schema: Mapping[str, Any] | None = None
    measure: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceDeclared:
    """A surface file was applied. It sets the live version only the first time; later only rollouts do."""

    TYPE: ClassVar[str] = "surface.declared"
    LATER: ClassVar[tuple[str, ...]] = (
        *("judging", "flows", "testers", "sources", "metrics", "judging.criteria"),
        *("soft_errors", "soft_errors.measure", "sources.*.sql", "sources.*.prometheus", "sources.*.traces"),
        *("sources.*.sql.error_category", "sources.*.sql.ratios"),
        *("judging.anchors", "judging.anchors_every", "judging.cost", "judging.cap"),
    )
    surface: str
    title: str
    owner: str
    version: str
    content: Content
    daily_requests: int | None
    notices: tuple[NoticePlan, ...]
    fingerprint: str
    judging: JudgingTerms | None = None
    flows: Mapping[str, Mapping[str, str | tuple[str, ...]]] | None = None
    testers: tuple[Tester, ...] | None = None
    sources: tuple[SourceTerms, ...] | None = None
    metrics: tuple[Metric, ...] | None = None
    soft_errors: SoftErrorTerms | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionNamed:
    """A rollout was planned, which binds a version name to a content for good.

    In older logs a second content may follow under a name that is taken; that is then only what its rollout is about
    and renames nothing.
    """

    TYPE: ClassVar[str] = "surface.version_named"
    version: str
    content: Content
    rollout: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceTaken:
    """A rollout started on this surface."""

    TYPE: ClassVar[str] = "surface.taken"
    rollout: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceFreed:
    """The rollout on this surface ended."""

    TYPE: ClassVar[str] = "surface.freed"
    rollout: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveMoved:
    """Another version became live: the one that everyone gets by default."""

    TYPE: ClassVar[str] = "surface.live_moved"
    version: str
    rollout: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineRecorded:
    """A review kept what its rollout measured as the new normal of this surface."""

    TYPE: ClassVar[str] = "surface.baseline_recorded"
    baseline: SurfaceBaseline
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherModelAnswered:
    """A response for this version came from another model than the one that it is configured to call."""

    TYPE: ClassVar[str] = "surface.other_model_answered"
    version: str
    configured: str
    answered: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RetirementTold:
    """The engineers were warned that the model of the live version is switched off `on` that day.

    `days` is the step of the warning, 90 to 7 days ahead.
    """

    TYPE: ClassVar[str] = "surface.retirement_told"
    model: str
    on: date
    replacement: str
    days: int


SurfaceEvent: TypeAlias = (
    SurfaceDeclared
    | VersionNamed
    | SurfaceTaken
    | SurfaceFreed
    | LiveMoved
    | BaselineRecorded
    | OtherModelAnswered
    | RetirementTold
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surface:
    """A surface as of its last event."""

    name: str
    title: str
    owner: str
    live: str  # the version everyone gets by default
    versions: Mapping[str, Content]  # every version ever named here; the live one as it is served
    named: Mapping[str, tuple[str, Content]] = field(default_factory=dict)  # rollout id -> the version it introduces
    daily_requests: int | None = None
    notices: tuple[NoticePlan, ...] = ()
    fingerprint: str = ""
    running: tuple[str, ...] = field(default=())  # ids of rollouts that started and have not ended
    # content hash -> who applied it in rollouts that are archived
    authors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    live_since: datetime | None = None
    live_by: str = ""  # the rollout that made it live
    baseline: SurfaceBaseline | None = None  # the newest one; it applies while its version is live
    judging: JudgingTerms | None = None
    flows: Mapping[str, Mapping[str, str | tuple[str, ...]]] | None = None
    testers: tuple[Tester, ...] | None = None  # as written; each plan looks them up
    sources: tuple[SourceTerms, ...] | None = None
    metrics: tuple[Metric, ...] | None = None  # of its own, as its file defines them today
    soft_errors: SoftErrorTerms | None = None
    other_models: tuple[OtherModelAnswered, ...] = ()
    retirements: tuple[RetirementTold, ...] = ()

    @property
    def live_baseline(self) -> SurfaceBaseline | None:
        """The baseline of the live version; None if no review has recorded one."""
        return self.baseline if self.baseline is not None and self.baseline.version == self.live else None

    @property
    def live_content(self) -> Content:
        """The content of the live version."""
        return self.versions[self.live]


def evolve(surface: Surface | None, event: SurfaceEvent, at: datetime | None = None) -> Surface:
    """The surface after `event`, which happened `at`. Never refuses: the event has already happened.

    The version of its first file counts as live from then on; `at` is None for a file that is only checked.
    """
    if isinstance(event, SurfaceDeclared):
        first = {event.version: event.content}
        declared = surface or Surface(
            name=event.surface, title="", owner="", live=event.version, versions=first, live_since=at
        )
        return replace(
            declared,
            title=event.title,
            owner=event.owner,
            daily_requests=event.daily_requests,
            notices=event.notices,
            fingerprint=event.fingerprint,
            judging=event.judging,
            flows=event.flows,
            testers=event.testers,
            sources=event.sources,
            metrics=event.metrics,
            soft_errors=event.soft_errors,
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
                versions={**surface.versions, event.version: _content_gone_live(surface, event)},
                live_since=event.at,
                live_by=event.rollout,
            )
        case BaselineRecorded():
            return replace(surface, baseline=event.baseline)
        case OtherModelAnswered():
            return replace(surface, other_models=(*surface.other_models, event))
        case RetirementTold():
            return replace(surface, retirements=(*surface.retirements, event))
        case _:
            assert_never(event)


def without_rollouts(surface: Surface, ended: Mapping[str, tuple[str, ...]]) -> Surface:
    """The surface without its entries for these ended rollouts (id -> who applied them).

    Every version keeps its content, and its authors move to `authors`.
    """
    authors = dict(surface.authors)
    for rollout, planners in ended.items():
        if rollout in surface.named:
            content = content_hash(surface.named[rollout][1])
            authors[content] = tuple(dict.fromkeys((*authors.get(content, ()), *planners)))
    named = {rollout: one for rollout, one in surface.named.items() if rollout not in ended}
    return replace(surface, named=named, authors=authors)


def _content_gone_live(surface: Surface, event: LiveMoved) -> Content:
    """The content that went live: forward, the one of the rollout; backward, the one stored under that name."""
    version, content = surface.named.get(event.rollout, ("", {}))
    return content if version == event.version else surface.versions[event.version]


def is_version_taken(surface: Surface, version: str, content: Content) -> bool:
    """Whether `version` already names another content."""
    known = surface.versions.get(version)
    return known is not None and content_hash(known) != content_hash(content)


def next_version(surface: Surface) -> str:
    """The next free name, one above the highest number used: `v43` after `v42`; `v1` if no name has a number."""
    numbers = [int(v[1:]) for v in surface.versions if v[:1] == "v" and v[1:].isdigit()]
    return f"v{max(numbers, default=0) + 1}"


APPLY_FIRST = "Apply its surface file first: rollout apply surface.yaml."


def require_surface(name: str, surfaces: Mapping[str, Surface], hint: str = APPLY_FIRST) -> Surface:
    """The surface with this name. NotFound if there is none; `hint` says what to do then."""
    found = surfaces.get(name)
    if found is None:
        raise build_unknown_surface(name, surfaces, hint)
    return found


def build_unknown_surface(name: str, surfaces: Iterable[str], hint: str = APPLY_FIRST) -> NotFound:
    """The error that says that there is no AI feature with this name, and which there are."""
    known = ", ".join(surfaces) or "none yet"
    return NotFound(f"There is no AI feature called {name[:80]}. Known: {known}.", hint=hint)
