"""What every surface answers at one position of the log, as one immutable value that is computed once per change."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from core.flags.bucketing import MILLION, bucketer
from core.flags.targeting import Where


class Variant(StrEnum):
    """Which side of the comparison an answer is on; STABLE is not compared."""

    CANARY = "canary"
    CONTROL = "control"
    STABLE = "stable"


class Reason(StrEnum):
    """Why, in the words of OpenFeature."""

    DEFAULT = "DEFAULT"
    SPLIT = "SPLIT"
    TARGETING_MATCH = "TARGETING_MATCH"


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version of a surface and its whole content; `json` is that content, compact, in UTF-8."""

    name: str
    content: Mapping[str, Any]
    json: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        text = json.dumps(self.content, separators=(",", ":"), ensure_ascii=False, default=list)
        object.__setattr__(self, "json", text.encode("utf-8", "replace"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """One of the few things a surface can answer. Compared by identity, so that its bytes can be kept beside it."""

    version: Version
    variant: Variant
    reason: Reason
    rollout: str = ""
    cohort: str = ""
    stage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """An audience that was let in. `ppm` of it get the new version, and keep it in later stages."""

    name: str
    where: Where
    ppm: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """A cohort of an earlier stage and what its members go on getting."""

    cohort: Cohort
    answer: Answer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exposure:
    """How the rollout under way divides a surface: [0, canary_below) is canary, [control_from, 1e6) control."""

    rollout: str
    to_version: Version
    stage: str
    stage_index: int
    matched: bool
    cohort: Cohort | None
    canary_below: int
    control_from: int
    bucket: Callable[[str], int]
    canary: Answer
    control: Answer
    stable: Answer
    outside: Answer
    kept: tuple[Kept, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stage of a rollout and when it ran. `exposes`: somebody got the new version in it. `counted_from`: since when
    traffic is divided as it says; None while it is not."""

    index: int
    name: str
    since: datetime
    until: datetime | None
    counted_from: datetime | None
    exposes: bool
    control_left: bool
    cohort: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracked:
    """A rollout whose observations may still arrive: where they belong and what is counted of them."""

    rollout: str
    from_version: str
    to_version: str
    matched: bool
    spans: tuple[Span, ...]
    cohorts: bool  # whether some stage let a cohort in
    driven: bool  # whether another flag system chooses who gets which version: then `bucket` says nothing of a unit
    canary_below: Mapping[int, int]  # stage index -> ppm
    bucket: Callable[[str], int]
    segments: tuple[str, ...]
    thresholds: Mapping[str, tuple[float, ...]]  # metric -> limits whose exceedance is counted
    caps: Mapping[str, float]  # metric -> the value above which its readings are cut, beside being added up as they are


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurfaceFlags:
    """One surface: its live answer, the rollout that divides it (if any), and the rollouts to count for."""

    name: str
    live: Answer
    versions: frozenset[str]
    exposure: Exposure | None = None
    tracked: tuple[Tracked, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """All surfaces, at `position` of the log."""

    position: int = 0
    surfaces: Mapping[str, SurfaceFlags] = field(default_factory=dict)

    def withdrawn(self) -> "Snapshot":
        """The same with everybody on the live version: what is served where it is not known what holds."""
        alike = {name: replace(surface, exposure=None) for name, surface in self.surfaces.items()}
        return replace(self, surfaces=alike)


EMPTY = Snapshot()


def live(version: Version) -> Answer:
    """What a surface answers without a rollout, without a unit, and whenever anything is doubtful."""
    return Answer(version=version, variant=Variant.STABLE, reason=Reason.DEFAULT)


def exposure(
    *,
    rollout: str,
    live_version: Version,
    to_version: Version,
    stage: str,
    stage_index: int,
    canary: int,
    matched: bool,
    cohort: Cohort | None,
    past: tuple[Cohort, ...],
) -> Exposure:
    """The division of a surface by one stage; `canary` in ppm of the stage's audience (the cohort, or everybody).

    A stage that exposes nobody (`canary` 0) leaves all but the past cohorts on the live version.
    """

    def answer(version: Version, variant: Variant, reason: Reason, cohort_name: str = "") -> Answer:
        return Answer(version=version, variant=variant, reason=reason, rollout=rollout, cohort=cohort_name, stage=stage)

    reason = Reason.TARGETING_MATCH if cohort else Reason.SPLIT if canary else Reason.DEFAULT
    inside = cohort.name if cohort else ""
    equal_size = matched and canary * 2 <= MILLION
    kept = tuple(
        Kept(cohort=c, answer=answer(to_version, Variant.STABLE, Reason.TARGETING_MATCH, c.name)) for c in past
    )
    return Exposure(
        rollout=rollout,
        to_version=to_version,
        stage=stage,
        stage_index=stage_index,
        matched=matched,
        cohort=cohort,
        canary_below=canary,
        control_from=MILLION if not canary else MILLION - canary if equal_size else canary,
        bucket=bucketer("expose", rollout),
        canary=answer(to_version, Variant.CANARY, reason, inside),
        control=answer(live_version, Variant.CONTROL, reason, inside),
        stable=answer(live_version, Variant.STABLE, reason, inside),
        outside=answer(live_version, Variant.STABLE, Reason.DEFAULT),
        kept=kept,
    )
