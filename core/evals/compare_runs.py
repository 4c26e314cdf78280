"""Two runs of a suite beside each other: case by case, and what cost and latency did."""

from collections.abc import Sequence
from math import isclose

from core.evals.category_names import category_key
from core.evals.eval_report import (
    MAX_LISTED,
    CaseList,
    CategoryFailures,
    PairedOutcome,
    ReplayChange,
    ReplayLevel,
    SuiteChange,
)
from core.evals.eval_run import EvalCase
from core.stats.fixed_horizon import fixed_sample


def list_cases(names: Sequence[str]) -> CaseList:
    """The cases with these ids, counted."""
    return CaseList(count=len(names), cases=tuple(names[:MAX_LISTED]))


def pair_cases(new: Sequence[EvalCase], current: Sequence[EvalCase]) -> list[tuple[EvalCase, EvalCase]]:
    """(new, current) outcomes of the cases that both runs have with the same input."""
    before = {case.case: case for case in current}
    return [(case, old) for case in new if (old := before.get(case.case)) is not None and _is_same_input(case, old)]


def compare_outcomes(new: Sequence[EvalCase], current: Sequence[EvalCase]) -> PairedOutcome | None:
    """Which of the shared cases broke and which were mended; None if no case is shared."""
    pairs = pair_cases(new, current)
    if not pairs:
        return None
    broke = [after.case for after, old in pairs if old.has_passed and not after.has_passed]
    mended = [after.case for after, old in pairs if after.has_passed and not old.has_passed]
    return PairedOutcome(
        shared=len(pairs),
        passed=sum(after.has_passed for after, _ in pairs),
        current_passed=sum(old.has_passed for _, old in pairs),
        broke=list_cases(broke),
        mended=list_cases(mended),
        p_value=fixed_sample.exact_mcnemar(len(broke), len(mended)),
    )


def find_new_failures(new: Sequence[EvalCase], current: Sequence[EvalCase]) -> list[EvalCase]:
    """The cases with a failing run that had none under the current version, or another input."""
    known = {after.case for after, old in pair_cases(new, current) if old.has_failing_run}
    return [case for case in new if case.has_failing_run and case.case not in known]


def find_suite_change(new: Sequence[EvalCase], current: Sequence[EvalCase]) -> SuiteChange | None:
    """How the suite differs from that of the current version's run; None if it does not."""
    before, after = {case.case: case for case in current}, {case.case: case for case in new}
    added = [name for name in after if name not in before]
    removed = [name for name in before if name not in after]
    rewritten = [name for name, case in after.items() if name in before and not _is_same_input(case, before[name])]
    if not (added or removed or rewritten):
        return None
    return SuiteChange(added=list_cases(added), removed=list_cases(removed), rewritten=list_cases(rewritten))


def group_new_failures(new: Sequence[EvalCase], current: Sequence[EvalCase]) -> tuple[CategoryFailures, ...]:
    """The new failures by category, the category with most of them first."""
    found: dict[str, list[EvalCase]] = {}
    for case in find_new_failures(new, current):
        found.setdefault(category_key(case.category), []).append(case)
    ordered = sorted(found.values(), key=len, reverse=True)[:MAX_LISTED]
    return tuple(
        CategoryFailures(category=cases[0].category, failures=list_cases([case.case for case in cases]))
        for cases in ordered
    )


def compare_replays(
    new: Sequence[EvalCase],
    current: Sequence[EvalCase],
    *,
    max_cost_rise: float | None = None,
    max_p95_rise: float | None = None,
) -> tuple[ReplayChange, ...]:
    """Cost, typical and slow latency over the cases that have them in both runs. An error says nothing of either,
    unless only the check is missing.
    """
    changes = []
    new, current = [[c for c in run if not c.error or c.is_unchecked] for run in (new, current)]
    costs = _select_pairs([(c.case, c.cost) for c in new], [(c.case, c.cost) for c in current])
    if costs is not None:
        changes.append(_compare_means("cost", *costs, allowed=max_cost_rise))
    times = _select_pairs([(c.case, c.latency_ms) for c in new], [(c.case, c.latency_ms) for c in current])
    if times is not None:
        changes.append(_compare_quantiles("latency_p50", 0.50, *times, allowed=None))
        changes.append(_compare_quantiles("latency_p95", 0.95, *times, allowed=max_p95_rise))
    return tuple(changes)


def _is_same_input(case: EvalCase, other: EvalCase) -> bool:
    """Whether two cases of one id have the same input, as far as it is known of both."""
    return not case.content or not other.content or case.content == other.content


def _select_pairs(
    new: Sequence[tuple[str, float | None]], current: Sequence[tuple[str, float | None]]
) -> tuple[list[float], list[float]] | None:
    """(new, current) values of the cases that have one in both runs; None if there are none."""
    before = {name: value for name, value in current if value is not None}
    pairs = [(value, before[name]) for name, value in new if value is not None and name in before]
    return ([after for after, _ in pairs], [old for _, old in pairs]) if pairs else None


def _compare_means(measure: str, new: list[float], current: list[float], *, allowed: float | None) -> ReplayChange:
    before, after = sum(current) / len(current), sum(new) / len(new)
    found = fixed_sample.ratio_interval(new, current)
    return ReplayChange(
        measure=measure,
        cases=len(new),
        current=ReplayLevel(value=before),
        new=ReplayLevel(value=after),
        rise=_rise(before, after),
        rise_low=None if found is None else found[0] - 1,
        rise_high=None if found is None else found[1] - 1,
        allowed=allowed,
    )


def _compare_quantiles(
    measure: str, q: float, new: list[float], current: list[float], *, allowed: float | None
) -> ReplayChange:
    before, after = _quantile_level(sorted(current), q), _quantile_level(sorted(new), q)
    return ReplayChange(
        measure=measure,
        cases=len(new),
        current=before,
        new=after,
        rise=_rise(before.value, after.value),
        allowed=allowed,
    )


def _quantile_level(ordered: list[float], q: float) -> ReplayLevel:
    low, high = fixed_sample.quantile_interval(ordered, q)
    return ReplayLevel(value=fixed_sample.nearest_rank(ordered, q), low=low, high=high)


def _rise(before: float, after: float) -> float | None:
    if before <= 0:
        return None
    return 0.0 if isclose(before, after, rel_tol=1e-12) else after / before - 1
