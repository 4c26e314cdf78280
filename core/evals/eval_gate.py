"""Offline eval gate, before anybody is exposed: whether a run of eval cases meets the plan's requirements."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from typing import TypeAlias

from core.evals import compare_runs
from core.evals.category_names import EVERY_CATEGORY, Categories, category_key, select_categories
from core.evals.eval_run import EvalCase
from core.stats.fixed_horizon import fixed_sample


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeCounts:
    """Number of cases of a run by outcome: `failed` were judged and failed, `errors` could not be judged."""

    total: int
    passed: int
    failed: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GatePassed:
    """The gate is open."""

    counts: OutcomeCounts


@dataclass(frozen=True, slots=True, kw_only=True)
class GateFailed:
    """The gate is closed: the reasons as sentences, and the cases that caused them."""

    reasons: tuple[str, ...]
    case_ids: tuple[str, ...]
    counts: OutcomeCounts = field()


GateResult: TypeAlias = GatePassed | GateFailed
GateFinding: TypeAlias = tuple[str, tuple[str, ...]]  # (reason, ids of the cases that caused it)
MAX_REQUIRED_CASES = 20
"""Largest number of cases that a pass rate alone can require."""


def evaluate_gate(
    cases: Sequence[EvalCase],
    current: Sequence[EvalCase] | None = None,
    *,
    min_pass_rate: float | None = None,
    by_lower_bound: bool = False,
    no_new_failures_in: Categories = (),
    optional_categories: tuple[str, ...] = (),
    compare_to_current: bool = False,
    max_cost_rise: float | None = None,
    max_p95_rise: float | None = None,
) -> GateResult:
    """Evaluate the gate for the new version's cases, against those of the `current` version if there are any.

    Without those, every failure in a category of `no_new_failures_in` counts as new; so do those in
    `optional_categories`, which need not occur. Comparisons use the cases that both runs have with the same input;
    cases missing from the new run close the gate. Rates are fractions, compared exactly; `by_lower_bound` asks that
    the lower end of the rate's 95 % interval reaches the minimum. Raises ValueError if a run names a case twice: fold
    repeated runs first. A case whose repeated runs disagree counts as failing where new failures are asked about.
    """
    counts = count_outcomes(cases)
    if not cases:
        return GateFailed(reasons=("the run holds no cases",), case_ids=(), counts=counts)
    _require_unique_cases(cases)
    _require_unique_cases(current or ())
    compares = compare_to_current or max_cost_rise is not None or max_p95_rise is not None
    findings = [
        _check_pass_rate(cases, counts, min_pass_rate, by_lower_bound=by_lower_bound),
        _check_case_count(counts, min_pass_rate),
        _check_named_categories(cases, no_new_failures_in),
        _check_new_failures(cases, current, no_new_failures_in, optional_categories),
        _check_missing_cases(cases, current, compares=compares, named=no_new_failures_in),
        _check_against_current(cases, current) if compare_to_current else None,
        _check_rise("cost", max_cost_rise, _mean_value, _shared_values(cases, current, "cost")),
        _check_rise("p95 latency", max_p95_rise, _p95, _shared_values(cases, current, "latency_ms")),
    ]
    found = [finding for finding in findings if finding is not None]
    if not found:
        return GatePassed(counts=counts)
    return GateFailed(
        reasons=tuple(reason for reason, _ in found),
        case_ids=tuple(dict.fromkeys(case for _, ids in found for case in ids)),
        counts=counts,
    )


def min_cases(min_pass_rate: float) -> int:
    """Number of cases that a pass rate requires: enough to allow one failure, so 13 for 92 %; at most 20."""
    return MAX_REQUIRED_CASES if min_pass_rate >= 1 else min(MAX_REQUIRED_CASES, ceil(1 / (1 - min_pass_rate) - 1e-9))


def count_outcomes(cases: Sequence[EvalCase]) -> OutcomeCounts:
    """Count the cases of a run by outcome."""
    passed, errors = sum(case.has_passed for case in cases), sum(case.error for case in cases)
    return OutcomeCounts(total=len(cases), passed=passed, failed=len(cases) - passed - errors, errors=errors)


def _check_pass_rate(
    cases: Sequence[EvalCase], counts: OutcomeCounts, minimum: float | None, *, by_lower_bound: bool
) -> GateFinding | None:
    if minimum is None:
        return None
    failing = tuple(case.case for case in cases if not case.has_passed)
    text = f"{counts.passed} of {counts.total} cases passed ({_format_percent(counts)})"
    if counts.passed < minimum * counts.total - 1e-9:
        return f"{text}, {minimum * 100:g} % are needed{_format_errors(counts)}", failing
    if not by_lower_bound:
        return None
    low, _ = fixed_sample.proportion_interval(counts.passed, counts.total)
    if low >= minimum:
        return None
    shown = f"{floor(low * 1000) / 10:.1f} %"
    return f"{text}, but with 95 % confidence only {shown} would, and {minimum * 100:g} % are needed", failing


def _check_case_count(counts: OutcomeCounts, minimum: float | None) -> GateFinding | None:
    if minimum is None or counts.total >= (needed := min_cases(minimum)):
        return None
    plural = "case is" if counts.total == 1 else "cases are"
    return f"{counts.total} {plural} too few to show {minimum * 100:g} %: at least {needed} are needed", ()


def _check_named_categories(cases: Sequence[EvalCase], named: Categories) -> GateFinding | None:
    """Named categories without any case prove nothing; most likely they are spelt differently in the run."""
    there = {category_key(case.category): case.category for case in cases}
    lacking = [] if named == EVERY_CATEGORY else [name for name in named if category_key(name) not in there]
    if not lacking:
        return None
    listed = ", ".join(sorted(name or '""' for name in there.values()))
    return f"no case is in {_quote_names(lacking)}; the categories of this run are {listed}", ()


def _check_new_failures(
    cases: Sequence[EvalCase],
    current: Sequence[EvalCase] | None,
    named: Categories,
    optional_categories: tuple[str, ...],
) -> GateFinding | None:
    asked = select_categories((*named, *optional_categories) if named != EVERY_CATEGORY else named)
    new = [case for case in compare_runs.find_new_failures(cases, current or ()) if asked(case)]
    if not new:
        return None
    where = ", ".join(sorted({case.category for case in new}))
    listed = ", ".join(f"{case.case}{_explain_failure(case)}" for case in new[:5])
    more = f" and {len(new) - 5} more" if len(new) > 5 else ""
    against = "" if current is not None else "; there are no results for the current version, so every failure counts"
    plural = "failure" if len(new) == 1 else "failures"
    return f"{len(new)} new {plural} in {where}: {listed}{more}{against}", tuple(case.case for case in new)


def _explain_failure(case: EvalCase) -> str:
    return " (error)" if case.error else " (in some of its runs)" if case.is_flaky else ""


def _check_missing_cases(
    cases: Sequence[EvalCase], current: Sequence[EvalCase] | None, *, compares: bool, named: Categories
) -> GateFinding | None:
    """Cases of the current version's run that are missing from the new one.

    All cases count if the runs are compared, else only those in the named categories.
    """
    asked = select_categories(EVERY_CATEGORY if compares else named)
    there = {case.case for case in cases}
    before = [case for case in current or () if asked(case)]
    lacking = tuple(case.case for case in before if case.case not in there)
    if not lacking:
        return None
    more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
    text = f"{len(lacking)} of {len(before)} cases of the current version's run are missing: {', '.join(lacking[:5])}"
    return f"{text}{more}", ()


def _check_against_current(cases: Sequence[EvalCase], current: Sequence[EvalCase] | None) -> GateFinding | None:
    if not current:
        return "there are no results for the current version to compare with", ()
    pairs = compare_runs.pair_cases(cases, current)
    shared, before = [new for new, _ in pairs], [old for _, old in pairs]
    counts, current_counts = count_outcomes(shared), count_outcomes(before)
    if not pairs:
        return "the current version's run has no case in common with this one", ()
    if counts.passed >= current_counts.passed:
        return None
    over = "" if len(shared) == len(cases) else f" of the {len(shared)} cases of both runs"
    text = (
        f"{_format_percent(counts)}{over} passed, the current version passes "
        f"{_format_percent(current_counts)}{_format_errors(counts)}"
    )
    return text, tuple(new.case for new, old in pairs if old.has_passed and not new.has_passed)


def _check_rise(
    name: str,
    max_rise: float | None,
    level: Callable[[list[float]], float],
    values: tuple[list[float], list[float]] | None,
) -> GateFinding | None:
    if max_rise is None:
        return None
    if values is None:
        text = "every case of both versions needs one"
        return f"{name} cannot be compared: {text}", ()
    after, before = level(values[0]), level(values[1])
    if after <= before * (1 + max_rise):
        return None
    rise = f"{after / before - 1:+.1%}" if before > 0 else f"from 0 to {after:g}"
    return f"{name} rises by {rise}, at most {max_rise:+.0%} is allowed", ()


def _shared_values(
    cases: Sequence[EvalCase], current: Sequence[EvalCase] | None, name: str
) -> tuple[list[float], list[float]] | None:
    """(new, current) values over the cases that both runs have.

    None unless every case has the value: a mean over some cases could hide the expensive ones.
    """
    new = {case.case: getattr(case, name) for case in cases}
    old = {case.case: getattr(case, name) for case in current or ()}
    shared = [case for case in new if case in old]
    if not shared or None in new.values() or None in old.values():
        return None
    return [new[case] for case in shared], [old[case] for case in shared]


def _mean_value(values: list[float]) -> float:
    return sum(values) / len(values)


def _p95(values: list[float]) -> float:
    return fixed_sample.nearest_rank(sorted(values), 0.95)


def _quote_names(names: Sequence[str]) -> str:
    return " or ".join(f'"{name}"' for name in names)


def _format_percent(counts: OutcomeCounts) -> str:
    """Pass rate in percent, rounded down: 91.96 % must not look like the required 92 %."""
    return f"{counts.passed * 1000 // counts.total / 10:.1f} %"


def _format_errors(counts: OutcomeCounts) -> str:
    if not counts.errors:
        return ""
    return f"; {counts.errors} could not be judged and {'counts' if counts.errors == 1 else 'count'} as failed"


def _require_unique_cases(cases: Sequence[EvalCase]) -> None:
    seen: set[str] = set()
    for case in cases:
        if case.case in seen:
            raise ValueError(f'case "{case.case}" appears twice in one run')
        seen.add(case.case)
