"""Check that stages are in order, grow, and respect the policy and the traffic."""

from collections.abc import Iterator, Mapping
from datetime import timedelta

from core import durations
from core.durations import LONGEST_DURATION
from core.files.foresight.layer_reach import narrow_surface
from core.files.kinds.rollout_file import RolloutFile
from core.files.sections.stage_terms import AbStage, CohortStage, RampStage
from core.files.syntax.problems import FieldPath, FileProblem, Severity
from core.files.templates import TEMPLATES
from core.judging.report.horizon import has_fixed_test
from core.rollout.plans.plan import Risk, Stage, StageKind
from core.rollout.plans.policy import DEFAULT_POLICY, Policy
from core.rollout.state.surface import Surface

STAGE_ORDER = tuple(StageKind)
SINGLE_KINDS = frozenset(StageKind) - {StageKind.COHORT, StageKind.RAMP}
DAYS_OF_WEEK = 7
SUGGESTED_CANARY_HOLD = timedelta(hours=1)  # the hold to suggest if the policy requires less
GROWING_KINDS = (StageKind.CANARY, StageKind.AB, StageKind.RAMP)


def check(file: RolloutFile, surface: Surface | None, policy: Policy) -> Iterator[FileProblem]:
    """Order, growth, omitted kinds, and the bounds of the policy."""
    yield from _check_order(file)
    yield from _check_growth(file)
    yield from _check_trial_first(file, policy)
    yield from _check_omitted_kinds(file, policy)
    yield from _check_canary(file, policy)
    yield from _check_strata(file)
    yield from _check_comparison(file)
    if surface is not None and surface.daily_requests is not None:
        yield from _check_samples_reachable(file, narrow_surface(surface, policy).daily_requests or 0)


def _stages_with_paths(file: RolloutFile, field: str) -> Iterator[tuple[FieldPath, Stage]]:
    """Every stage with the path of one of its fields. For stages of a template, the path is that of `template`."""
    for number, entry in enumerate(file.stage_entries):
        path: FieldPath = ("stages", number, entry.kind.value, field) if file.stages is not None else ("template",)
        for stage in entry.to_stages():
            yield path, stage


def _check_order(file: RolloutFile) -> Iterator[FileProblem]:
    seen: dict[str, StageKind] = {}
    furthest = STAGE_ORDER[0]
    number_of: dict[StageKind, int] = {}
    for number, entry in enumerate(file.stage_entries):
        kind, path = entry.kind, ("stages", number, entry.kind.value)
        if STAGE_ORDER.index(kind) < STAGE_ORDER.index(furthest):
            message = f"{kind} comes after {furthest}; the order is {', '.join(STAGE_ORDER)}"
            yield file.source.problem_at(path, message, at_key=True)
        elif kind in SINGLE_KINDS and kind in number_of:
            yield file.source.problem_at(path, f"{kind} is already there, as stage {number_of[kind] + 1}", at_key=True)
        else:
            for stage in entry.to_stages():
                if stage.name in seen:
                    message = f'two stages are called "{stage.name}"'
                    yield file.source.problem_at(path, message, at_key=kind is not StageKind.COHORT)
                seen[stage.name] = kind
        furthest = max(furthest, kind, key=STAGE_ORDER.index)
        number_of.setdefault(kind, number)


def _check_strata(file: RolloutFile) -> Iterator[FileProblem]:
    """Every stratum has a name of its own: of a cohort, of all of its steps; a cohort is not named once more."""
    growing: dict[str, bool] = {}
    for number, entry in enumerate(file.stages or ()):
        if isinstance(entry.terms, CohortStage):
            name, grows = entry.terms.name.casefold(), entry.terms.steps is not None
            if name in growing and (grows or growing[name]):
                message = f'two cohorts are called "{entry.terms.name}": write its steps in one'
                yield file.source.problem_at(("stages", number, "cohort", "name"), message)
            growing[name] = grows
    cohorts = {
        stage.audience.casefold()
        for entry in file.stage_entries
        if entry.kind is StageKind.COHORT
        for stage in entry.to_stages()
    }
    seen: set[str] = set()
    for name in file.assignment.strata or {}:
        if name.casefold() in cohorts:
            message = f'"{name}" is a cohort stage and so a stratum already: leave it out here'
            yield file.source.problem_at(("assignment", "strata", name), message, at_key=True)
        elif name.casefold() in seen:
            yield file.source.problem_at(("assignment", "strata", name), f'two strata are called "{name}"', at_key=True)
        seen.add(name.casefold())
    yield from _check_audiences(file)


def _check_audiences(file: RolloutFile) -> Iterator[FileProblem]:
    """Nobody is in a stratum of which everybody is in an earlier one; the first that fits counts."""
    earlier: dict[str, Mapping[str, str | tuple[str, ...]]] = {}
    for entry in file.stage_entries:
        if entry.kind is StageKind.COHORT:
            earlier |= {stage.audience: stage.where or {} for stage in entry.to_stages()}
    for name, where in (file.assignment.strata or {}).items():
        if found := next((one for one, wider in earlier.items() if one != name and _is_within(where, wider)), None):
            message = (
                f'whoever is in "{name}" is in "{found}" before, which counts: change one of the two, or their order'
            )
            yield file.source.problem_at(("assignment", "strata", name), message, at_key=True)
        earlier[name] = where


def _is_within(where: Mapping[str, str | tuple[str, ...]], wider: Mapping[str, str | tuple[str, ...]]) -> bool:
    """Whether everybody whom `where` selects is selected by `wider`, too."""
    return all(
        key in where and set(_list_values(where[key])) <= set(_list_values(value)) for key, value in wider.items()
    )


def _list_values(value: str | tuple[str, ...]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value


def _check_growth(file: RolloutFile) -> Iterator[FileProblem]:
    before = 0.0
    last: tuple[FieldPath, float] | None = None
    grows = False
    for number, entry in enumerate(file.stage_entries):
        if entry.kind not in GROWING_KINDS:
            continue
        path: FieldPath = ("stages", number, entry.kind.value)
        ramp = isinstance(entry.terms, RampStage)
        for step, stage in enumerate(entry.to_stages()):
            here: FieldPath = (*path, "steps", step) if ramp else (*path, "percent")
            if stage.percent <= before:
                message = f"{stage.percent:g}% after {before:g}%: percentages must grow"
                yield file.source.problem_at(here, message)
            before = max(before, stage.percent)
            last, grows = (here, stage.percent), ramp
    if last is None or last[1] == 100:
        return
    if grows:
        yield file.source.problem_at(last[0], f"the last step of a ramp is 100%, not {last[1]:g}%")
    else:
        message = f"this goes from {last[1]:g}% to everybody in one step: consider a ramp in between"
        yield file.source.problem_at(last[0], message, severity="warning")


def _check_comparison(file: RolloutFile) -> Iterator[FileProblem]:
    """A long comparison covers whole weeks, and is decided on metrics that it can test."""
    for number, entry in enumerate(file.stages or ()):
        if not isinstance(entry.terms, AbStage):
            continue
        days = entry.terms.days
        if days is not None and days % DAYS_OF_WEEK:
            weeks = max(round(days / DAYS_OF_WEEK), 1) * DAYS_OF_WEEK
            message = (
                f"{days} days are no whole weeks, so that some weekdays would count more than others: write {weeks}"
            )
            yield file.source.problem_at(("stages", number, "ab", "days"), message, severity="warning")
        for place, metric in enumerate(entry.terms.decide_on):
            if not has_fixed_test(file.entry_of(metric)):
                message = (
                    f"a comparison cannot be decided on {metric}, which has no average to compare: leave it out; "
                    "a limit on it is watched all the time"
                )
                yield file.source.problem_at(("stages", number, "ab", "decide_on", place), message)


def _check_trial_first(file: RolloutFile, policy: Policy) -> Iterator[FileProblem]:
    """At every risk, a few people try the version before many get it, for as long as the policy requires of a canary.

    A cohort, a canary, an ab, or a first ramp step no larger than a canary counts as the trial.
    """
    hold = policy.risk[file.effective_risk].min_canary_hold
    tried: timedelta | None = None  # the hold of the longest trial so far
    for path, stage in _stages_with_paths(file, "steps"):
        if not stage.has_exposure or stage.kind is StageKind.BAKE:
            continue
        if stage.kind is not StageKind.RAMP or stage.percent <= policy.canary_max:
            # `_check_canary` checks a canary's own hold
            held = hold if stage.kind is StageKind.CANARY else stage.min_hold
            tried = max(tried or held, held)
            continue
        here = (*path, 0) if file.stages is not None else path
        if tried is None:
            suggested = durations.format_typed(max(hold, SUGGESTED_CANARY_HOLD))
            write = f"- canary: {{percent: {policy.canary_max:g}, min_hold: {suggested}}}"
            message = (
                f"{stage.percent:g}% would be the first to see it, but the policy allows at most "
                f"{policy.canary_max:g}% (canary_percent): put "
                f'"{write}" before the ramp'
            )
            yield file.source.problem_at(here, message)
        elif tried < hold:
            message = (
                f"before {stage.percent:g}%, a stage must hold for {durations.format_exact(hold)}, as the policy "
                f"asks of a canary; the longest one here holds {durations.format_exact(tried)}"
            )
            yield file.source.problem_at(here, message)
        return


def _check_omitted_kinds(file: RolloutFile, policy: Policy) -> Iterator[FileProblem]:
    if file.stages is None:
        return
    risk = file.effective_risk
    present = {entry.kind for entry in file.stages}
    if risk is Risk.HIGH and StageKind.EVAL not in present:
        yield file.source.problem_at(("stages",), "high risk needs an eval stage", at_key=True)
    if not present & set(GROWING_KINDS):
        message = "everybody would get the new version at once: add a canary, an ab or a ramp stage"
        yield file.source.problem_at(("stages",), message, at_key=True)
    agreed = {next(iter(stage)) for stage in TEMPLATES[file.template].stages} - {StageKind.EVAL, StageKind.RAMP}
    missing = [kind for kind in STAGE_ORDER if kind in agreed - present - set(policy.risk[risk].may_skip)]
    if missing:
        # the built-in policy only advises; a policy that the workspace wrote is binding
        severity: Severity = "warning" if policy == DEFAULT_POLICY else "error"
        message = f"the policy lets a {risk} risk rollout leave out {_join_kinds(policy.risk[risk].may_skip)}, but not "
        yield file.source.problem_at(("stages",), message + _join_kinds(missing), at_key=True, severity=severity)


def _check_canary(file: RolloutFile, policy: Policy) -> Iterator[FileProblem]:
    asked = policy.risk[file.effective_risk].min_canary_hold
    for path, stage in _stages_with_paths(file, "percent"):
        if stage.kind is StageKind.CANARY and not policy.canary_min <= stage.percent <= policy.canary_max:
            yield file.source.problem_at(
                path,
                f"a canary of {stage.percent:g}% is outside the policy ({policy.canary_min:g}% to "
                f"{policy.canary_max:g}%): choose one within it, or change canary_percent in the policy first",
            )
    for path, stage in _stages_with_paths(file, "min_hold"):
        if stage.kind is StageKind.CANARY and stage.min_hold < asked:
            yield file.source.problem_at(
                path,
                f"the policy asks a {file.effective_risk} risk canary to hold at least "
                f"{durations.format_exact(asked)}; this one holds {durations.format_exact(stage.min_hold)}",
            )


def _check_samples_reachable(file: RolloutFile, daily_requests: int) -> Iterator[FileProblem]:
    for path, stage in _stages_with_paths(file, "min_samples"):
        if stage.where is not None:
            continue
        day = daily_requests * stage.percent / 100
        if stage.min_samples > day * LONGEST_DURATION.days:
            yield file.source.problem_at(
                path,
                f"{stage.min_samples:,} requests are never reached: at {daily_requests:,} requests a day, "
                f"{stage.percent:g}% sees about {day * LONGEST_DURATION.days:,.0f} in {LONGEST_DURATION.days} "
                "days, the longest that a stage can take",
            )
            continue
        if stage.max_hold is None:
            continue
        expected = daily_requests * stage.percent / 100 * (stage.max_hold / timedelta(days=1))
        if expected < stage.min_samples:
            yield file.source.problem_at(
                path,
                f"{stage.min_samples:,} requests cannot be reached: at {daily_requests:,} requests a day, "
                f"{stage.percent:g}% sees about {expected:,.0f} in {durations.format_exact(stage.max_hold)}. "
                "It would stop and ask",
                severity="warning",
            )


def _join_kinds(kinds: object) -> str:
    words = [str(kind) for kind in kinds] if isinstance(kinds, tuple | list) else []
    return ", ".join(words) or "nothing"
