"""The gate before anybody is exposed: whether a run of eval cases meets what the plan asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalCase:
    """One case of a run. An `error` is a case that could not be judged; it counts as failed."""

    case: str
    category: str
    passed: bool
    error: bool = False

    @property
    def ok(self) -> bool:
        """Passed, and judged at all."""
        return self.passed and not self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """All cases of a run by outcome; `failed` were judged and failed, `errors` could not be judged."""

    total: int
    passed: int
    failed: int
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """The gate is open."""

    counts: Counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The gate is closed: why, in sentences, and which cases did it."""

    reasons: tuple[str, ...]
    case_ids: tuple[str, ...]
    counts: Counts = field()


Outcome: TypeAlias = Passed | Failed
EVERY_CATEGORY: Literal["all"] = "all"


def gate(
    cases: Sequence[EvalCase],
    baseline: Sequence[EvalCase] | None = None,
    *,
    min_pass_rate: float | None = None,
    no_new_failures_in: tuple[str, ...] | Literal["all"] = (),
    compare_to_current: bool = False,
) -> Outcome:
    """Judge the new version's cases, against the current version's `baseline` where there is one.

    Without a baseline every failure in a named category counts as new. Rates are fractions, compared exactly.
    ValueError when a case is named twice.
    """
    counts = count(cases)
    if not cases:
        return Failed(reasons=("the run holds no cases",), case_ids=(), counts=counts)
    _once(cases)
    findings = [
        _rate(cases, counts, min_pass_rate),
        _new_failures(cases, baseline, no_new_failures_in),
        _worse_than_current(cases, counts, baseline) if compare_to_current else None,
    ]
    found = [finding for finding in findings if finding is not None]
    if not found:
        return Passed(counts=counts)
    return Failed(
        reasons=tuple(reason for reason, _ in found),
        case_ids=tuple(dict.fromkeys(case for _, ids in found for case in ids)),
        counts=counts,
    )


def count(cases: Sequence[EvalCase]) -> Counts:
    """How a run went, over all its cases."""
    passed, errors = sum(case.ok for case in cases), sum(case.error for case in cases)
    return Counts(total=len(cases), passed=passed, failed=len(cases) - passed - errors, errors=errors)


def _rate(cases: Sequence[EvalCase], counts: Counts, minimum: float | None) -> tuple[str, tuple[str, ...]] | None:
    if minimum is None or counts.passed >= minimum * counts.total - 1e-9:
        return None
    text = f"{counts.passed} of {counts.total} cases passed ({_percent(counts)}), {minimum * 100:g} % are needed"
    return f"{text}{_errors(counts)}", tuple(case.case for case in cases if not case.ok)


def _new_failures(
    cases: Sequence[EvalCase], baseline: Sequence[EvalCase] | None, named: tuple[str, ...] | Literal["all"]
) -> tuple[str, tuple[str, ...]] | None:
    failed_before = {case.case for case in baseline or () if not case.ok}
    new = [
        case
        for case in cases
        if not case.ok and case.case not in failed_before and (named == EVERY_CATEGORY or case.category in named)
    ]
    if not new:
        return None
    where = ", ".join(sorted({case.category for case in new}))
    listed = ", ".join(f"{case.case} (error)" if case.error else case.case for case in new[:5])
    more = f" and {len(new) - 5} more" if len(new) > 5 else ""
    against = "" if baseline is not None else "; there are no results for the current version, so every failure counts"
    plural = "failure" if len(new) == 1 else "failures"
    return f"{len(new)} new {plural} in {where}: {listed}{more}{against}", tuple(case.case for case in new)


def _worse_than_current(
    cases: Sequence[EvalCase], counts: Counts, baseline: Sequence[EvalCase] | None
) -> tuple[str, tuple[str, ...]] | None:
    if not baseline:
        return "there are no results for the current version to compare with", ()
    current = count(baseline)
    if counts.passed * current.total >= current.passed * counts.total:
        return None
    passed_before = {case.case for case in baseline if case.ok}
    text = f"{_percent(counts)} passed, the current version passes {_percent(current)}{_errors(counts)}"
    return text, tuple(case.case for case in cases if not case.ok and case.case in passed_before)


def _percent(counts: Counts) -> str:
    """Rounded down, so that 91.96 % is never shown as the 92 % that were needed."""
    return f"{counts.passed * 1000 // counts.total / 10:.1f} %"


def _errors(counts: Counts) -> str:
    return f"; {counts.errors} could not be judged and count as failed" if counts.errors else ""


def _once(cases: Sequence[EvalCase]) -> None:
    seen: set[str] = set()
    for case in cases:
        if case.case in seen:
            raise ValueError(f'case "{case.case}" appears twice in one run')
        seen.add(case.case)
