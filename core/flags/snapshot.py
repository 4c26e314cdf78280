"""Snapshot of all flags at one position of the log: an immutable value, computed once per change."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from core.flags.bucketing import MILLION, bucket_of_digest, make_bucketer, make_digester
from core.flags.flows import CriticalFlow
from core.flags.layers import LayerShare
from core.flags.targeting import CohortConditions
from core.metrics.catalogue import Metric


class Variant(StrEnum):
    """The arm that an answer belongs to. STABLE is not compared."""

    CANARY = "canary"
    CONTROL = "control"
    STABLE = "stable"


class Reason(StrEnum):
    """Why an answer was given, in OpenFeature's terms."""

    DEFAULT = "DEFAULT"
    SPLIT = "SPLIT"
    TARGETING_MATCH = "TARGETING_MATCH"


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version of a surface and its content. `json` is the content as compact JSON in UTF-8."""

    name: str
    content: Mapping[str, Any]
    json: bytes = field(init=False, repr=False)

    def __post_init__(self) -> None:
        text = json.dumps(self.content, separators=(",", ":"), ensure_ascii=False, default=list)
        object.__setattr__(self, "json", text.encode("utf-8", "replace"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FlagAnswer:
    """One of the few possible answers of a surface. Compared by identity, so that its encoded bytes can be cached."""

    version: Version
    variant: Variant
    reason: Reason
    rollout: str = ""
    cohort: str = ""
    stage: str = ""
    exposure: str = ""  # `format_exposure_token`: applications send it back in observations; empty without a rollout

    @property
    def origin(self) -> str:
        """What a conversation that gets this answer began with: the version, and the exposure if there is one."""
        return f"{self.version.name}/{self.exposure}" if self.exposure else self.version.name

    @property
    def stratum(self) -> str:
        """In which audience of which rollout this answer was given; empty where it belongs to none."""
        if not self.cohort and self.variant is Variant.STABLE:
            return ""
        return f"{self.rollout}/{self.cohort}" if self.cohort else self.rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """An audience that was let in. `ppm` of it get the new version and keep it in later stages; `is_back`: it was
    rolled back alone, and all of it get the live version."""

    name: str
    where: CohortConditions
    ppm: int
    is_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EarlierCohort:
    """A cohort of an earlier stage. Its members were compared there and are not compared again.

    Members with a bucket below `below` get the new version, the others the live one.
    """

    cohort: Cohort
    below: int
    new: FlagAnswer
    live: FlagAnswer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exposure:
    """How the current rollout divides a surface: buckets [0, canary_below) are canary, [control_from, 1e6) control.

    Units whose 64-bit number is in `moved_back` get the live version; `moved_buckets` are their buckets.
    """

    rollout: str
    to_version: Version
    stage: str
    stage_index: int
    cohort: Cohort | None
    canary_below: int
    control_from: int
    bucket: Callable[[str], int]
    canary: FlagAnswer
    control: FlagAnswer
    stable: FlagAnswer
    outside: FlagAnswer
    earlier_cohorts: tuple[EarlierCohort, ...]
    moved: FlagAnswer
    moved_back: frozenset[int]
    moved_buckets: frozenset[int]
    digest: Callable[[str], int]
    # what applications send back -> its cohort; None: the stage's own arms. Empty where there is no cohort
    strata: Mapping[str, EarlierCohort | None]
    layer: LayerShare | None = None  # units that are not in it get `outside`

    def is_final(self, answer: FlagAnswer) -> bool:
        """Whether this answer holds in every conversation, as that of a cohort that was rolled back alone does."""
        return any(answer is one.live and not one.below for one in self.earlier_cohorts)

    def is_moved_back(self, unit: str, bucket: int) -> bool:
        """Whether a person moved this unit, whose bucket is `bucket`, back to the live version."""
        return bucket in self.moved_buckets and self.digest(unit) in self.moved_back


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedShare:
    """Units that were served a new version: those with a bucket below `below` in a cohort, or (None) of everybody."""

    where: CohortConditions | None
    below: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServedUnits:
    """Whom one rollout has served its new version."""

    rollout: str
    shares: tuple[ServedShare, ...]
    moved_back: frozenset[int]  # 64-bit numbers of units that a person moved back
    taken_back: tuple[CohortConditions, ...]  # of cohorts that were rolled back alone
    digest: Callable[[str], int]
    layer: LayerShare | None = None  # nobody outside of it was served

    def includes(self, unit: str, context: Mapping[str, Any]) -> bool:
        """Whether the unit was served it; False in any doubt, as when it has left its cohort."""
        try:
            digest = self.digest(unit)
        except UnicodeEncodeError:
            return False
        if digest in self.moved_back or any(where.matches(context) for where in self.taken_back):
            return False
        if self.layer is not None and not self.layer.includes(unit):
            return False
        bucket = bucket_of_digest(digest)
        return any(
            bucket < share.below and (share.where is None or share.where.matches(context)) for share in self.shares
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FinishingVersion:
    """A version on which conversations that began with it go on. `served_to` None: everybody may have begun with it."""

    answer: FlagAnswer
    served_to: tuple[ServedUnits, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageWindow:
    """A stage of a rollout and when it ran.

    `exposes`: anybody got the new version in it. `counted_from`: when traffic began to be split as designed, None until
    then. `settles_until`: until then applications may still report evaluations of the previous stage. Buckets in
    [0, canary_below) are canary, those in [control_from, 1e6) control.
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
    audience: str = ""  # the name of the cohort, which its stages have in common
    is_holdout: bool = False  # after the end: a few units are held back on the previous version

    def find_arm(self, bucket: int) -> Variant:
        """The arm of the units in this bucket: canary, control, or stable for those in neither."""
        if bucket < self.canary_below:
            return Variant.CANARY
        return Variant.CONTROL if bucket >= self.control_from else Variant.STABLE

    def compares(self, arm: Variant) -> bool:
        """Whether units of this arm are compared in the stage; without a control, the canary with control's past."""
        if arm is Variant.CONTROL:
            return self.exposes and self.control_left
        return self.exposes and arm is Variant.CANARY


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrackedRollout:
    """A rollout whose observations may still arrive: where they belong and what is counted."""

    rollout: str
    from_version: str
    to_version: str
    spans: tuple[StageWindow, ...]
    is_externally_driven: bool  # another flag system assigns the versions, so `bucket` says nothing about a unit
    bucket: Callable[[str], int]
    segments: tuple[str, ...]
    thresholds: Mapping[str, tuple[float, ...]]  # metric -> values whose exceedances are counted
    caps: Mapping[str, float]  # metric -> value at which its readings are capped, in addition to the raw sums
    moved_back: Mapping[int, datetime]  # 64-bit number of a unit -> when a person moved it back
    digest: Callable[[str], int]
    flows: tuple[CriticalFlow, ...] = ()
    pulled: Mapping[str, str] = field(default_factory=dict)  # metric (or `requests`) -> the source that counts it
    metrics: Mapping[str, Metric] = field(default_factory=dict)  # the surface's own that this rollout counts, by name
    cohort_back_at: datetime | None = None  # when the first cohort was rolled back alone
    unit_kind: str = "user"  # what is assigned as a whole: user, conversation or account
    conversations_finish: bool = False  # conversations under way stay on the version that they began with
    layer: LayerShare | None = None  # nobody outside of it is compared

    def has_cohort_back(self, at: datetime) -> bool:
        """Whether a cohort had been rolled back alone by `at`, so that a version alone tells no arm."""
        return self.cohort_back_at is not None and self.cohort_back_at <= at

    def is_outside(self, unit: str) -> bool:
        """Whether the unit belongs to another surface of the layer, so that it gets the live version uncompared."""
        return self.layer is not None and not self.layer.includes(unit)

    def was_moved_back(self, unit: str, at: datetime) -> bool:
        """Whether this unit had been moved back by `at`, and is not compared since."""
        return bool(self.moved_back) and (since := self.moved_back.get(self.digest(unit))) is not None and since <= at


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SurfaceFlags:
    """One surface: its live answer, the exposure of its current rollout (if any), the versions on which conversations
    finish, and the rollouts to count for."""

    name: str
    live: FlagAnswer
    versions: frozenset[str]
    exposure: Exposure | None = None
    tracked: tuple[TrackedRollout, ...] = ()
    finishing: Mapping[str, FinishingVersion] = field(default_factory=dict)  # by name of the version
    metrics: Mapping[str, Metric] = field(default_factory=dict)  # its own, as they are defined today
    soft_errors: frozenset[str] = frozenset()  # categories of its own


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Snapshot:
    """All surfaces at one `position` of the log. `keeps_units`: whether the ids of units that got a new version are
    to be kept."""

    position: int = 0
    surfaces: Mapping[str, SurfaceFlags] = field(default_factory=dict)
    keeps_units: bool = False

    def with_live_only(self, names: Collection[str] | None = None) -> "Snapshot":
        """A copy in which everybody gets the live version, on the surfaces `names` or on all. The fail-safe
        snapshot."""
        alike = {
            name: replace(surface, exposure=None, finishing={}) if names is None or name in names else surface
            for name, surface in self.surfaces.items()
        }
        return replace(self, surfaces=alike)


def build_live_answer(version: Version) -> FlagAnswer:
    """The answer without a rollout, without a unit, and in any doubt."""
    return FlagAnswer(version=version, variant=Variant.STABLE, reason=Reason.DEFAULT)


def build_exposure(
    *,
    rollout: str,
    live_version: Version,
    to_version: Version,
    stage: str,
    stage_index: int,
    canary: int,
    matched: bool,
    cohort: Cohort | None,
    past_cohorts: tuple[Cohort, ...],
    moved_back: Collection[int] = (),
    layer: LayerShare | None = None,
    held: int = 0,
) -> Exposure:
    """Build a stage's exposure. `canary` is in ppm of the stage's audience (the cohort, or everybody). The `held` ppm
    of the highest places never get the new version.

    A stage that exposes nobody (`canary` 0) leaves everybody on the live version, except the past cohorts.
    """

    def build_answer(version: Version, variant: Variant, reason: Reason, cohort_name: str = "") -> FlagAnswer:
        return FlagAnswer(
            version=version,
            variant=variant,
            reason=reason,
            rollout=rollout,
            cohort=cohort_name,
            stage=stage,
            exposure=format_exposure_token(rollout, stage_index, variant),
        )

    reason = Reason.TARGETING_MATCH if cohort else Reason.SPLIT if canary else Reason.DEFAULT
    inside = cohort.name if cohort else ""
    everybody = canary >= MILLION
    canary = min(canary, MILLION - held)
    # A later stage for everybody also grows inside earlier cohorts; another cohort's stage does not.
    reached = 0 if cohort else canary
    earlier = tuple(
        EarlierCohort(
            cohort=one,
            below=0 if one.is_back else min(max(one.ppm, reached), MILLION - held),
            new=build_answer(to_version, Variant.STABLE, Reason.TARGETING_MATCH, one.name),
            live=build_answer(live_version, Variant.STABLE, Reason.TARGETING_MATCH, one.name),
        )
        for one in past_cohorts
    )
    own = rollout if cohort is None else f"{rollout}/{cohort.name}"
    return Exposure(
        rollout=rollout,
        to_version=to_version,
        stage=stage,
        stage_index=stage_index,
        cohort=cohort,
        canary_below=canary,
        control_from=MILLION if everybody else control_start(canary, matched=matched),
        bucket=make_bucketer("expose", rollout),
        canary=build_answer(to_version, Variant.CANARY, reason, inside),
        control=build_answer(live_version, Variant.CONTROL, reason, inside),
        stable=build_answer(live_version, Variant.STABLE, reason, inside),
        outside=build_answer(live_version, Variant.STABLE, Reason.DEFAULT),
        earlier_cohorts=earlier,
        moved=build_answer(live_version, Variant.STABLE, Reason.TARGETING_MATCH),
        moved_back=frozenset(moved_back),
        moved_buckets=frozenset(bucket_of_digest(one) for one in moved_back),
        digest=make_digester("expose", rollout),
        strata={own: None, **{one.live.stratum: one for one in earlier}} if earlier or cohort else {},
        layer=layer,
    )


def control_start(canary: int, *, matched: bool) -> int:
    """First bucket of control, in ppm, for a canary of [0, canary). A matched control takes the far end."""
    if not canary:
        return MILLION
    return MILLION - canary if matched and canary * 2 <= MILLION else canary


def format_exposure_token(rollout: str, stage_index: int, variant: Variant) -> str:
    """Format the token that places an observation exactly: rollout, stage and arm of an evaluation."""
    return f"{rollout}.{stage_index}.{variant}"
