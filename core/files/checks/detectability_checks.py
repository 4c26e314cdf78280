"""Check that limits, and comparisons which are read once, can notice harm in the time and traffic that they have."""

from collections.abc import Iterator

from core import durations
from core.files.build_plan import build_limits, build_stages, select_segments
from core.files.foresight import detection
from core.files.foresight.comparison_power import (
    ComparisonPower,
    describe_short,
    foresee_holdout,
    foresee_stage,
)
from core.files.foresight.detection import DetectionDesign, LimitForesight
from core.files.foresight.known_traffic import assume_traffic, recall_traffic
from core.files.foresight.layer_reach import narrow_surface, narrow_traffic
from core.files.kinds.rollout_file import RolloutFile
from core.files.sections.stage_terms import AbStage
from core.files.syntax.problems import FieldPath, FileProblem
from core.judging.limits.limits import LimitKind, LimitRole, format_rounded
from core.judging.report.horizon import has_fixed_test
from core.rollout.plans.policy import Policy
from core.rollout.state.surface import Surface


def check_limits(file: RolloutFile, surface: Surface | None, policy: Policy) -> Iterator[FileProblem]:
    """Warnings for rollback limits that cannot detect their own change in time.

    One for each limit for which no compared stage is long enough, with what its best stage can detect, and one for each
    that the first stage would still ask about as a blind spot. Levels are assumed to be typical here; the `plan`
    command uses measured ones.
    """
    if surface is None or surface.daily_requests is None:
        return
    surface = narrow_surface(surface, policy)
    design = DetectionDesign(
        stages=build_stages(file),
        limits=build_limits(file),
        control=file.assignment.control,
        segments=bool(select_segments(file)),
        risk=file.effective_risk,
        grow_on=policy.growth_rule_for(file.effective_risk),
    )
    paths = {(terms.metric, terms.kind): number for number, terms in enumerate(file.rollback_when)}
    late = detection.select_late(detection.foresee_best_stages(design, assume_traffic(surface)))
    for one in late:
        number = paths.get((one.limit.metric, one.limit.kind))
        if one.limit.role is not LimitRole.ROLLBACK or number is None:
            continue  # from the template, so it has no line in this file
        path: FieldPath = ("rollback_when", number, one.limit.kind.value)
        yield _warn(file, path, _describe_late(one))
    first = (
        detection.foresee_limits(design, design.compared_stages[0], assume_traffic(surface))
        if design.compared_stages
        else ()
    )
    for one in first:
        number = paths.get((one.limit.metric, one.limit.kind))
        if one.is_blind and number is not None and one.limit not in {other.limit for other in late}:
            path = ("rollback_when", number, one.limit.kind.value)
            yield _warn(file, path, _describe_blind(one))


def check_comparisons(file: RolloutFile, surface: Surface | None, policy: Policy) -> Iterator[FileProblem]:
    """A warning for each `ab` stage and holdout that is too short, with the length that would do.

    The levels are those of the surface's baseline, or typical ones.
    """
    if surface is None:
        return
    everyone = recall_traffic(surface) or assume_traffic(surface)
    if not everyone.daily_requests:
        return
    known, limits = narrow_traffic(everyone, surface, policy), build_limits(file)
    for stage in build_stages(file):
        if not stage.is_decided_at_end:
            continue
        metrics = [file.entry_of(name) for name in stage.decide_on]
        power = foresee_stage(stage, limits, metrics, file.assignment.control, known)
        if power is not None and power.short:
            yield _warn_short(file, _find_ab_path(file), power)
    if file.holdout is not None:
        named = [*(x.metric for x in limits if not (x.is_absolute or x.is_per_category)), *file.expectations]
        metrics = [file.entry_of(name) for name in dict.fromkeys(named)]
        tested = [metric for metric in metrics if has_fixed_test(metric)]
        power = foresee_holdout(file.holdout.percent, file.holdout.for_, limits, tested, everyone)
        if power is not None and power.short:
            yield _warn_short(file, ("holdout", "for"), power)


def _warn(file: RolloutFile, path: FieldPath, said: str) -> FileProblem:
    return file.source.problem_at(path, f"too late: {said}", severity="warning", is_forecast=True)


def _describe_late(one: LimitForesight) -> str:
    enough = "for nothing" if one.smallest is None else f"for {format_rounded(one.limit, one.smallest)}"
    when = "never" if one.noticed is None else f"only after about {durations.format_rounded(one.noticed)}"
    return (
        f"at this traffic you can notice {_describe_change(one)} {when}; {one.stage} lasts at most "
        f"{durations.format_exact(one.within)}, enough {enough}. Run `rollout plan` to see what would help"
    )


def _describe_blind(one: LimitForesight) -> str:
    when = "never" if one.seen is None else f"after about {durations.format_rounded(one.seen)}"
    return (
        f"at this traffic, harm of twice that size is found {when} (in four cases out of five); {one.stage} "
        f"lasts at most {durations.format_exact(one.within)}, and would then stop and ask. "
        "Run `rollout plan` to see what would help"
    )


def _describe_change(one: LimitForesight) -> str:
    size = format_rounded(one.limit, one.size)
    if one.limit.is_absolute or one.limit.is_per_category:
        return f"{one.limit.metric} at {size}"
    words = {LimitKind.DROPS_BY: "drop", LimitKind.CHANGES_BY: "change"}
    article = "an" if size[:1] == "8" or size.startswith(("11", "18")) else "a"
    return f"{article} {size} {words.get(one.limit.kind, 'rise')}"


def _find_ab_path(file: RolloutFile) -> FieldPath:
    """Where the length of the `ab` stage stands; where the template has it, the template."""
    for number, entry in enumerate(file.stages or ()):
        if isinstance(entry.terms, AbStage):
            return ("stages", number, "ab", "days" if entry.terms.days is not None else "hold")
    return ("template",)


def _warn_short(file: RolloutFile, path: FieldPath, power: ComparisonPower) -> FileProblem:
    return file.source.problem_at(path, f"too short: {describe_short(power)}", severity="warning", is_forecast=True)
