"""Every answer that one unit may get on a surface, when not all of its attributes are known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.flags.evaluation import evaluate_bucket
from core.flags.snapshot import Cohort, Exposure, FlagAnswer, SurfaceFlags
from core.flags.targeting import EMAIL, EMAIL_DOMAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class PossibleAnswer:
    """An answer and the cohort that the unit must belong to for it; None for a unit outside every such cohort."""

    answer: FlagAnswer
    cohort: Cohort | None


def list_possible_answers(flags: SurfaceFlags, unit: str, known: Mapping[str, Any]) -> tuple[PossibleAnswer, ...]:
    """The answers that `unit` may get, in the order in which the cohorts are tried; one if its version is certain.

    `known` holds the attributes that are known. A cohort whose attributes are known is decided; any other may or may
    not hold the unit.
    """
    exposure = flags.exposure
    bucket = evaluate_bucket(flags, unit)
    if exposure is None or bucket is None:
        return (PossibleAnswer(answer=flags.live, cohort=None),)
    if exposure.is_moved_back(unit, bucket):
        return (PossibleAnswer(answer=exposure.moved, cohort=None),)
    if exposure.layer is not None and not exposure.layer.includes(unit):
        return (PossibleAnswer(answer=exposure.outside, cohort=None),)
    found: list[PossibleAnswer] = []
    for earlier in exposure.earlier_cohorts:
        is_member = _is_member(earlier.cohort, known)
        if is_member is False:
            continue
        found.append(
            PossibleAnswer(answer=earlier.new if bucket < earlier.below else earlier.live, cohort=earlier.cohort)
        )
        if is_member:
            return _drop_indistinct(found)
    arm = _choose_arm(exposure, bucket)
    if exposure.cohort is None:
        found.append(PossibleAnswer(answer=arm, cohort=None))
        return _drop_indistinct(found)
    is_member = _is_member(exposure.cohort, known)
    if is_member is not False:
        found.append(PossibleAnswer(answer=arm, cohort=exposure.cohort))
    if not is_member:
        found.append(PossibleAnswer(answer=exposure.outside, cohort=None))
    return _drop_indistinct(found)


def _choose_arm(exposure: Exposure, bucket: int) -> FlagAnswer:
    if bucket < exposure.canary_below:
        return exposure.canary
    return exposure.control if bucket >= exposure.control_from else exposure.stable


def _is_member(cohort: Cohort, known: Mapping[str, Any]) -> bool | None:
    """Whether a unit with these attributes belongs to the cohort; None if that depends on others."""
    missing = False
    for key, _ in cohort.where.conditions:
        if key not in known and not (key == EMAIL_DOMAIN and EMAIL in known):
            missing = True
        elif not cohort.where.holds_for(key, known):
            return False
    return None if missing else True


def _drop_indistinct(found: list[PossibleAnswer]) -> tuple[PossibleAnswer, ...]:
    """Only the last answer if all of them are the same version: then no attribute matters."""
    if len({one.answer.version.name for one in found}) == 1:
        return (found[-1],)
    return tuple(found)
