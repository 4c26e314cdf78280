"""Where an observation belongs: the rollout and stage that ran at its time, and the side that was served."""

from dataclasses import dataclass
from datetime import datetime

from core.flags.bucketing import MILLION
from core.flags.snapshot import Span, SurfaceFlags, Tracked, Variant

SIDES = frozenset(v.value for v in Variant)
COMPARED = (Variant.CANARY, Variant.CONTROL)


class Misplaced(ValueError):
    """An observation that contradicts what was served then; `code` is for machines."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One arm of one stage of one rollout."""

    tracked: Tracked
    stage: int
    arm: Variant


def place(flags: SurfaceFlags, *, unit: str, at: datetime, variant: str | None, version: str | None) -> Place | None:
    """The place an observation counts in; None where it is fine but compared with nothing. Misplaced if impossible.

    A version alone tells the side as far as it can: where a cohort was let in or the control is matched, the unit's
    bucket decides, and people beside a cohort count nowhere. Where another flag system chooses, the bucket is never
    asked, and nothing counts while that system changes over.
    """
    if variant is not None and variant not in SIDES:
        known = ", ".join(Variant)
        raise Misplaced("unknown_variant", f'unknown variant "{variant}": an evaluation answers one of {known}')
    if variant is None and version is None:
        raise Misplaced("missing_side", "send the variant (or the version) that the evaluation answered")
    if version is not None and version not in flags.versions:
        raise Misplaced("unknown_version", f'{flags.name} never had a version "{version}"')
    running = _running(flags, at)
    if running is None:
        return None
    tracked, span = running
    if variant is None:
        assert version is not None
        arm = _side(tracked, span, unit, version)
    else:
        arm = Variant(variant)
        _check(tracked, span, arm, version)
    if span.counted_from is None or at < span.counted_from:
        return None
    if not span.exposes or arm not in COMPARED or (arm is Variant.CONTROL and not span.control_left):
        return None
    return Place(tracked=tracked, stage=span.index, arm=arm)


def _running(flags: SurfaceFlags, at: datetime) -> tuple[Tracked, Span] | None:
    for tracked in flags.tracked:
        for span in reversed(tracked.spans):
            if span.since <= at and (span.until is None or at < span.until):
                return tracked, span
    return None


def _check(tracked: Tracked, span: Span, arm: Variant, version: str | None) -> None:
    expected = {Variant.CANARY: tracked.to_version, Variant.CONTROL: tracked.from_version}.get(arm)
    if version is not None and expected is not None and version != expected:
        raise Misplaced(
            "wrong_version",
            f'in stage "{span.name}" of {tracked.rollout} the {arm} version is {expected}, not "{version}": '
            "report what the evaluation answered",
        )


def _side(tracked: Tracked, span: Span, unit: str, version: str) -> Variant:
    if tracked.driven:
        return {tracked.to_version: Variant.CANARY, tracked.from_version: Variant.CONTROL}.get(version, Variant.STABLE)
    edge = tracked.canary_below[span.index]
    if version == tracked.to_version:
        if not tracked.cohorts:
            return Variant.CANARY
        return Variant.CANARY if tracked.bucket(unit) < edge else Variant.STABLE  # beyond it: a member of a past cohort
    if version != tracked.from_version or span.cohort:
        return Variant.STABLE
    if not tracked.matched or edge * 2 > MILLION:
        return Variant.CONTROL
    return Variant.CONTROL if tracked.bucket(unit) >= MILLION - edge else Variant.STABLE
