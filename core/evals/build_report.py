"""Builds the report of a run from its cases: alone, and beside the current version's run of the same suite."""

from collections.abc import Iterable, Sequence

from core.evals import compare_runs
from core.evals.category_names import category_key
from core.evals.eval_report import MAX_LISTED, EvalReport, PassRate
from core.evals.eval_run import EvalCase, EvalRun, hash_dataset
from core.evals.repeats import FlakyCase
from core.stats.fixed_horizon import fixed_sample

MAX_COVERED = 400


def build_report(
    run: EvalRun,
    new: Sequence[EvalCase],
    current: Sequence[EvalCase],
    flaky: Sequence[FlakyCase],
    *,
    runs: int,
    min_pass_rate: float | None,
    by_lower_bound: bool,
    max_cost_rise: float | None,
    max_p95_rise: float | None,
) -> EvalReport:
    """The report of `new`, the folded cases of the new version, beside `current`, which may be empty.

    `flaky` are the new version's cases whose runs disagree, and `runs` counts all of its runs. The thresholds are
    those of the gate.
    """
    passed = sum(case.has_passed for case in new)
    low, high = fixed_sample.proportion_interval(passed, len(new))
    return EvalReport(
        tool=run.tool,
        dataset=hash_dataset(new),
        pass_rate=PassRate(
            passed=passed,
            total=len(new),
            low=low,
            high=high,
            needed=min_pass_rate,
            by_lower_bound=by_lower_bound,
        ),
        judges=_list_names(case.judge for case in new),
        models=_list_names(case.model for case in new),
        runs=runs,
        flaky_count=len(flaky),
        flaky=tuple(flaky[:MAX_LISTED]),
        errors=compare_runs.list_cases([case.case for case in new if case.error]),
        paired=compare_runs.compare_outcomes(new, current),
        new_failures=compare_runs.group_new_failures(new, current),
        suite_change=compare_runs.find_suite_change(new, current) if current else None,
        replay=compare_runs.compare_replays(new, current, max_cost_rise=max_cost_rise, max_p95_rise=max_p95_rise),
        covers=_list_covered(new),
    )


def _list_names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for name in names if name})[:MAX_LISTED])


def _list_covered(cases: Sequence[EvalCase]) -> tuple[str, ...]:
    """The categories, one spelling each, and the labels."""
    categories = {category_key(case.category): case.category for case in cases if case.category}
    labels = {label for case in cases for label in case.labels}
    return tuple([*sorted(categories.values()), *sorted(labels)][:MAX_COVERED])
