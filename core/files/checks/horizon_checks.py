"""Check that comparisons which are read once are long enough to notice what the file calls too large."""

from collections.abc import Iterator

from core.files.build_plan import build_limits, build_stages
from core.files.foresight.comparison_power import (
    ComparisonPower,
    describe_short,
    foresee_holdout,
    foresee_stage,
)
from core.files.foresight.known_traffic import assume_traffic, recall_traffic
from core.files.foresight.layer_reach import narrow_traffic
from core.files.kinds.rollout_file import RolloutFile
from core.files.sections.stage_terms import AbStage
from core.files.syntax.problems import FieldPath, FileProblem
from core.judging.report.horizon import has_fixed_test
from core.rollout.plans.policy import DEFAULT_POLICY, Policy
from core.rollout.state.surface import Surface


def check(file: RolloutFile, surface: Surface | None, policy: Policy = DEFAULT_POLICY) -> Iterator[FileProblem]:
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
            yield _warn(file, _find_path(file), power)
    if file.holdout is not None:
        named = [*(x.metric for x in limits if not (x.is_absolute or x.is_per_category)), *file.expectations]
        metrics = [file.entry_of(name) for name in dict.fromkeys(named)]
        tested = [metric for metric in metrics if has_fixed_test(metric)]
        power = foresee_holdout(file.holdout.percent, file.holdout.for_, limits, tested, everyone)
        if power is not None and power.short:
            yield _warn(file, ("holdout", "for"), power)


def _find_path(file: RolloutFile) -> FieldPath:
    """Where the length of the `ab` stage stands; where the template has it, the template."""
    for number, entry in enumerate(file.stages or ()):
        if isinstance(entry.terms, AbStage):
            return ("stages", number, "ab", "days" if entry.terms.days is not None else "hold")
    return ("template",)


def _warn(file: RolloutFile, path: FieldPath, power: ComparisonPower) -> FileProblem:
    return file.source.problem_at(path, f"too short: {describe_short(power)}", severity="warning", is_forecast=True)
