"""What every surface answers at one position of the log, as one immutable value that is computed once per change."""

import json
from collections.abc import Callable, Collection, Mapping
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
    exposure: str = ""  # what an application echoes in its observations (`exposure_token`); empty without a rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """An audience that was let in. `ppm` of it get the new version, and keep it in later stages."""

    name: str
    where: Where
    ppm: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EarlierCohort:
    """A cohort of an earlier stage. Its members, in either arm, were compared there and are not compared again: those
    below `below` get the new version, the others the live one."""

    cohort: Cohort
    below: int
    new: Answer
    live: Answer


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
    earlier_cohorts: tuple[EarlierCohort, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stage of a rollout and when it ran. `exposes`: somebody got the new version in it. `counted_from`: since when
    traffic is divided as it says; None while it is not. `settles_until`: until then an application may still report
    what was evaluated in the stage before. Units in [0, canary_below) are canary, those in [control_from, 1e6) control.
    """

    index: int
    name: str
    since: datetime
    until: datetime | None
    counted_from: datetime | None
    settles_until: datetime
    exposes: bool
    control_left: bool
    cohort: bool
    canary_below: int
    control_from: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tracked:
    """A rollout whose observations may still arrive: where they belong and what is counted of them."""

    rollout: str
    from_version: str
    to_version: str
    spans: tuple[Span, ...]
    driven: bool  # whether another flag system chooses who gets which version: then `bucket` says nothing of a unit
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

    def withdrawn(self, of: Collection[str] | None = None) -> "Snapshot":
        """The same with everybody on the live version, `of` these surfaces or of all: what is served where it is not
        known what holds."""
        alike = {
            name: replace(surface, exposure=None) if of is None or name in of else surface
            for name, surface in self.surfaces.items()
        }
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
        return Answer(
            version=version,
            variant=variant,
            reason=reason,
            rollout=rollout,
            cohort=cohort_name,
            stage=stage,
            exposure=exposure_token(rollout, stage_index, variant),
        )

    reason = Reason.TARGETING_MATCH if cohort else Reason.SPLIT if canary else Reason.DEFAULT
    inside = cohort.name if cohort else ""
    # A later stage for everybody grows in an earlier cohort as well; another cohort does not.
    reached = 0 if cohort else canary
    earlier = tuple(
        EarlierCohort(
            cohort=one,
            below=max(one.ppm, reached),
            new=answer(to_version, Variant.STABLE, Reason.TARGETING_MATCH, one.name),
            live=answer(live_version, Variant.STABLE, Reason.TARGETING_MATCH, one.name),
        )
        for one in past
    )
    return Exposure(
        rollout=rollout,
        to_version=to_version,
        stage=stage,
        stage_index=stage_index,
        matched=matched,
        cohort=cohort,
        canary_below=canary,
        control_from=control_starts(canary, matched=matched),
        bucket=bucketer("expose", rollout),
        canary=answer(to_version, Variant.CANARY, reason, inside),
        control=answer(live_version, Variant.CONTROL, reason, inside),
        stable=answer(live_version, Variant.STABLE, reason, inside),
        outside=answer(live_version, Variant.STABLE, Reason.DEFAULT),
        earlier_cohorts=earlier,
    )


def control_starts(canary: int, *, matched: bool) -> int:
    """Where control begins, in ppm, beside a canary of [0, canary): an equal-size one takes the other end."""
    if not canary:
        return MILLION
    return MILLION - canary if matched and canary * 2 <= MILLION else canary


def exposure_token(rollout: str, stage_index: int, variant: Variant) -> str:
    """What places an observation exactly: the rollout, the stage and the side that an evaluation answered."""
    return f"{rollout}.{stage_index}.{variant}"
