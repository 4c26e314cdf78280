"""Placement of observations: the rollout, stage and arm in which the unit was served, unless they come too late."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import takewhile

from core.flags.snapshot import StageWindow, SurfaceFlags, TrackedRollout, Variant

VARIANTS = frozenset(v.value for v in Variant)
COMPARED_VARIANTS = (Variant.CANARY, Variant.CONTROL)
_TOKEN = re.compile(rf"R-\d+\.\d+\.({'|'.join(Variant)})")
MAX_LATENESS = timedelta(hours=1)
"""How long after the end of a stage its observations are still accepted."""
REPORTED_WITHIN = timedelta(minutes=15)
"""How long after an evaluation its observation may arrive: ten minutes in a client's cache, two for a slow model, the
rest in a batch."""


class MisplacedObservation(ValueError):
    """An observation that contradicts what was served. `code` is machine-readable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UncountedReason(StrEnum):
    """Why a valid observation counts in no comparison."""

    NOT_COMPARED = "not_compared"  # no rollout, no canary, or the unit is in neither arm
    SETTLING = "settling"  # right after a step: it may have been evaluated before or after it
    UNKNOWN_COHORT = "unknown_cohort"  # a version alone does not tell who is, or was, in a cohort
    MOVED_BACK = "moved_back"  # a person gave the unit the live version again
    UNKNOWN_CONVERSATION = "unknown_conversation"  # a version alone does not tell whether a conversation went on


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """One arm of one stage of one rollout.

    `counts_for_split` says whether the unit's first exposure counts in the sample-ratio test. Right after a step it
    does not, since units that changed arms are not counted yet. `assigned_arm` is the one in which it counts there, if
    it is not `arm`: that of the unit's own bucket, where the report names the arm of a stage that has just ended.
    """

    tracked: TrackedRollout
    stage: int
    arm: Variant
    counts_for_split: bool = True
    assigned_arm: Variant | None = None

    @property
    def earlier_cohorts(self) -> tuple[int, ...]:
        """As `list_earlier_cohorts`, for this stage."""
        return list_earlier_cohorts(self.tracked, self.stage)


def list_earlier_cohorts(tracked: TrackedRollout, stage: int) -> tuple[int, ...]:
    """Indices of the stages of other cohorts that began before `stage`.

    Their members, in either arm, are not compared again. What is late for a stage that began before counts all the
    same.
    """
    own = next((one.audience for one in tracked.spans if one.index == stage and one.cohort), None)
    before = takewhile(lambda one: one.index != stage, tracked.spans)
    return tuple(dict.fromkeys(one.index for one in before if one.cohort and one.audience != own))


def place_observation(
    flags: SurfaceFlags,
    *,
    unit: str,
    at: datetime,
    variant: str | None = None,
    version: str | None = None,
    exposure: str | None = None,
) -> Placement | UncountedReason:
    """Place an observation, or say why it counts in no comparison. Raises MisplacedObservation if it is impossible.

    The `exposure` token of the evaluation determines everything. Without it, `at` gives the stage and `variant` the
    arm; right after a step only units count whose bucket is in the same arm before and after it. A `version` alone
    gives the arm as far as possible: with a matched control the unit's bucket decides. If another flag system assigns
    versions, buckets are never used, and nothing counts while that system changes over.
    """
    _check_names(flags, variant, version)
    if exposure:
        return _place_by_token(flags, exposure, unit, at, variant, version)
    if variant is None and version is None:
        raise MisplacedObservation(
            "missing_side", "send the exposure (or the variant, or the version) that the evaluation returned"
        )
    running = _find_running(flags, at)
    if running is None:
        return UncountedReason.NOT_COMPARED
    tracked, span = running
    if tracked.was_moved_back(unit, at):
        return UncountedReason.MOVED_BACK
    if variant is None and tracked.conversations_finish and span.exposes:
        return UncountedReason.UNKNOWN_CONVERSATION
    if variant is None:
        assert version is not None
        arm = _arm_from_version(tracked, span, unit, version, at)
        if isinstance(arm, UncountedReason):
            return arm
    else:
        arm = Variant(variant)
        _check_version(tracked, span, arm, version)
    if not _is_counted(span, arm, at):
        return UncountedReason.NOT_COMPARED
    if tracked.is_externally_driven:
        return Placement(tracked=tracked, stage=span.index, arm=arm)
    if at >= span.settles_until:
        assigned = _find_assigned_arm(tracked, span, unit, arm, at, by_variant=variant is not None)
        return Placement(tracked=tracked, stage=span.index, arm=arm, assigned_arm=assigned)
    return _place_while_settling(tracked, span, unit, arm, by_variant=variant is not None)


def infer_variant(flags: SurfaceFlags, *, unit: str, at: datetime) -> Variant | UncountedReason:
    """The variant that a unit was served at a time where nothing says which, or the reason why that is unknown.

    Unknown is who was in a cohort, what another flag system assigned, and whether a conversation went on with the
    version that it began with.
    """
    running = _find_running(flags, at)
    if running is None or not running[1].exposes:
        return Variant.STABLE
    tracked, span = running
    has_cohort = tracked.has_cohort_back(at) or any(one.cohort and one.index <= span.index for one in tracked.spans)
    if tracked.is_externally_driven or has_cohort:
        return UncountedReason.UNKNOWN_COHORT
    if tracked.conversations_finish:
        return UncountedReason.UNKNOWN_CONVERSATION
    if tracked.was_moved_back(unit, at) or tracked.is_outside(unit):
        return Variant.STABLE
    return span.find_arm(tracked.bucket(unit))


def _check_names(flags: SurfaceFlags, variant: str | None, version: str | None) -> None:
    if variant is not None and variant not in VARIANTS:
        known = ", ".join(Variant)
        raise MisplacedObservation(
            "unknown_variant", f'unknown variant "{variant}": an evaluation returns one of {known}'
        )
    if version is not None and version not in flags.versions:
        raise MisplacedObservation("unknown_version", f'{flags.name} has never had a version "{version}"')


def find_claimed_placement(
    flags: SurfaceFlags, *, now: datetime, variant: str | None, version: str | None, exposure: str | None
) -> Placement | None:
    """The current arm that an otherwise invalid observation claims to belong to; None if it claims none."""
    running = _find_running(flags, now)
    if running is None:
        return None
    tracked, span = running
    side = (exposure or "").rpartition(".")[2] or variant or ""
    by_version = {tracked.to_version: Variant.CANARY, tracked.from_version: Variant.CONTROL}
    # A version sent as the variant claims what it would as the version.
    arm = Variant(side) if side in VARIANTS else by_version.get(version or "", by_version.get(side))
    if arm is None or not _is_counted(span, arm, now):
        return None
    return Placement(tracked=tracked, stage=span.index, arm=arm, counts_for_split=False)


def _place_by_token(
    flags: SurfaceFlags, exposure: str, unit: str, at: datetime, variant: str | None, version: str | None
) -> Placement | UncountedReason:
    """Place an observation by the exposure token of its evaluation."""
    rollout, _, named = exposure.partition(".")
    stage, _, arm = named.partition(".")
    tracked = next((one for one in flags.tracked if one.rollout == rollout), None)
    if tracked is None:
        if _TOKEN.fullmatch(exposure):
            return UncountedReason.NOT_COMPARED  # a rollout that ended long ago
    elif arm in VARIANTS:
        for span in tracked.spans:
            if str(span.index) == stage:
                if tracked.was_moved_back(unit, at):
                    return UncountedReason.MOVED_BACK
                return _place_in_span(tracked, span, Variant(arm), at, variant, version)
    raise MisplacedObservation(
        "unknown_exposure",
        f'no evaluation of {flags.name} returned the exposure "{exposure}": send metadata.exposure unchanged',
    )


def _place_in_span(
    tracked: TrackedRollout, span: StageWindow, arm: Variant, at: datetime, variant: str | None, version: str | None
) -> Placement | UncountedReason:
    if variant is not None and variant != arm:
        raise MisplacedObservation(
            "wrong_variant",
            f"the exposure says {arm}, but the variant says {variant}: send both from the same evaluation",
        )
    _check_version(tracked, span, arm, version)
    if span.until is not None and at > span.until + MAX_LATENESS:
        raise MisplacedObservation(
            "too_old", f'stage "{span.name}" of {tracked.rollout} ended more than an hour ago and was judged without it'
        )
    if not _is_counted(span, arm, max(at, span.since)):
        return UncountedReason.NOT_COMPARED
    return Placement(tracked=tracked, stage=span.index, arm=arm)


def _find_running(flags: SurfaceFlags, at: datetime) -> tuple[TrackedRollout, StageWindow] | None:
    for tracked in flags.tracked:
        for span in reversed(tracked.spans):
            if span.since <= at and (span.until is None or at < span.until):
                return tracked, span
    return None


def _is_counted(span: StageWindow, arm: Variant, at: datetime) -> bool:
    """Whether the stage compares this arm at this time."""
    if span.counted_from is None or at < span.counted_from:
        return False
    return span.compares(arm)


def _check_version(tracked: TrackedRollout, span: StageWindow, arm: Variant, version: str | None) -> None:
    expected = {Variant.CANARY: tracked.to_version, Variant.CONTROL: tracked.from_version}.get(arm)
    if version is not None and expected is not None and version != expected:
        raise MisplacedObservation(
            "wrong_version",
            f'in stage "{span.name}" of {tracked.rollout} the {arm} version is {expected}, not "{version}": '
            "report what the evaluation returned",
        )


def _arm_from_version(
    tracked: TrackedRollout, span: StageWindow, unit: str, version: str, at: datetime
) -> Variant | UncountedReason:
    """The arm that follows from the version alone."""
    if tracked.is_externally_driven:
        return {tracked.to_version: Variant.CANARY, tracked.from_version: Variant.CONTROL}.get(version, Variant.STABLE)
    if version not in {tracked.to_version, tracked.from_version} or tracked.is_outside(unit):
        return Variant.STABLE
    if any(one.cohort and one.index < span.index for one in tracked.spans) or tracked.has_cohort_back(at):
        return UncountedReason.UNKNOWN_COHORT
    if span.cohort and span.control_left:
        # Units with the new version are in the cohort, but units with the old one may be outside of it: of those that
        # report only a version, a single arm would be counted.
        return UncountedReason.UNKNOWN_COHORT
    if version == tracked.to_version:
        return Variant.CANARY
    if span.cohort:
        return Variant.STABLE  # outside the cohort, which has the new version throughout
    if span.control_from == span.canary_below:
        return Variant.CONTROL
    return Variant.CONTROL if tracked.bucket(unit) >= span.control_from else Variant.STABLE


def _place_while_settling(
    tracked: TrackedRollout, span: StageWindow, unit: str, arm: Variant, *, by_variant: bool
) -> Placement | UncountedReason:
    """Place an observation right after a step.

    Units that were in this arm before the step count. Units that changed arms may have been served in either, so they
    do not. If the bucket is in neither arm, it did not decide the assignment, and the report is believed.
    """
    place_in_order = tracked.spans.index(span)
    before = tracked.spans[place_in_order - 1] if place_in_order else None
    if before is None or not before.exposes:
        # Before the first canary nobody was assigned an arm, so a reported one was assigned in this stage.
        return Placement(tracked=tracked, stage=span.index, arm=arm, counts_for_split=by_variant)
    is_canary = arm is Variant.CANARY
    edges = [one.canary_below if is_canary else one.control_from for one in (before, span)]
    if min(edges) <= tracked.bucket(unit) < max(edges):
        return UncountedReason.SETTLING
    return Placement(tracked=tracked, stage=span.index, arm=arm, counts_for_split=False)


def _find_assigned_arm(
    tracked: TrackedRollout, span: StageWindow, unit: str, arm: Variant, at: datetime, *, by_variant: bool
) -> Variant | None:
    """The arm of the unit's own bucket, if a report names another one that was right a moment ago; else None.

    A stage of a few minutes settles before every client has asked again. A report that arrives meanwhile does not tell
    that units were split otherwise than planned, and its unit is one of those that the plan counts on.
    """
    if at >= span.since + REPORTED_WITHIN:
        return None
    bucket = tracked.bucket(unit)
    assigned = span.find_arm(bucket)
    if assigned in (arm, Variant.STABLE):
        return None
    if any(
        one.find_arm(bucket) is arm for one in list_exposing_before(tracked, span) if at < find_report_deadline(one)
    ):
        return assigned
    # While no canary was served everybody had the old version, though nobody was told an arm.
    told_nobody = (
        not by_variant and arm is Variant.CONTROL and at < find_last_unexposed(tracked, span) + REPORTED_WITHIN
    )
    return assigned if told_nobody else None


def list_exposing_before(tracked: TrackedRollout, span: StageWindow) -> tuple[StageWindow, ...]:
    """The stages before `span` that served a canary to those who are compared in it: not those of another cohort."""
    before = (one for one in tracked.spans[: tracked.spans.index(span)] if one.exposes)
    return tuple(one for one in before if not one.cohort or (span.cohort and one.audience == span.audience))


def find_report_deadline(span: StageWindow) -> datetime:
    """Until when reports may still name the arms of a stage that has ended. ValueError if it has not."""
    if span.until is None:
        raise ValueError(f'stage "{span.name}" has not ended')
    return span.until + REPORTED_WITHIN


def find_last_unexposed(tracked: TrackedRollout, span: StageWindow) -> datetime:
    """The last time before or at the begin of `span` at which nobody was served the canary."""
    before = tracked.spans[: tracked.spans.index(span)]
    return max((one.until for one in before if one.until and not one.exposes), default=tracked.spans[0].since)
