"""What one unit gets on one surface: the answer, and how it came about."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from core.flags.snapshot import Answer, Reason, Snapshot, SurfaceFlags, Variant

LONGEST_UNIT = 512
"""Characters of a unit; observations of a longer one are refused."""


class UnknownSurface(LookupError):
    """No surface of this name was ever applied."""


class Evaluation(NamedTuple):
    """An answer and the unit's `bucket` (ppm; None where the unit did not matter)."""

    answer: Answer
    bucket: int | None

    @property
    def value(self) -> Mapping[str, Any]:
        return self.answer.version.content

    @property
    def version(self) -> str:
        return self.answer.version.name

    @property
    def variant(self) -> Variant:
        return self.answer.variant

    @property
    def reason(self) -> Reason:
        return self.answer.reason

    @property
    def rollout(self) -> str:
        return self.answer.rollout

    @property
    def cohort(self) -> str:
        return self.answer.cohort

    @property
    def stage(self) -> str:
        return self.answer.stage

    @property
    def exposure(self) -> str:
        return self.answer.exposure


def evaluate(snapshot: Snapshot, surface: str, unit: str | None, context: Mapping[str, Any]) -> Evaluation:
    """What `unit` gets on `surface`. Anything doubtful answers the live version; UnknownSurface for an unknown name."""
    flags = snapshot.surfaces.get(surface)
    if flags is None:
        raise UnknownSurface(surface)
    bucket = None
    if flags.exposure is not None and unit and _can_be_observed(unit):
        try:
            bucket = flags.exposure.bucket(unit)
        except UnicodeEncodeError:
            bucket = None
    return Evaluation(_at(flags, bucket, context), bucket)


def choose(flags: SurfaceFlags, unit: str | None, context: Mapping[str, Any]) -> Answer:
    """`evaluate` for the hot path: only the answer, which is one of the few that the snapshot holds ready."""
    # `_can_be_observed`, written out: a call would cost a tenth of all of it.
    if flags.exposure is None or not unit or len(unit) > LONGEST_UNIT or "\x00" in unit:
        return flags.live
    try:
        bucket = flags.exposure.bucket(unit)
    except UnicodeEncodeError:
        return flags.live
    return _at(flags, bucket, context)


def _can_be_observed(unit: str) -> bool:
    """Whether what a unit's requests show would be taken. Nobody gets a new version unseen."""
    return len(unit) <= LONGEST_UNIT and "\x00" not in unit


def _at(flags: SurfaceFlags, bucket: int | None, context: Mapping[str, Any]) -> Answer:
    exposure = flags.exposure
    if exposure is None or bucket is None:
        return flags.live
    for earlier in exposure.earlier_cohorts:
        if earlier.cohort.where.holds(context):
            return earlier.new if bucket < earlier.below else earlier.live
    if exposure.cohort is not None and not exposure.cohort.where.holds(context):
        return exposure.outside
    if bucket < exposure.canary_below:
        return exposure.canary
    return exposure.control if bucket >= exposure.control_from else exposure.stable
