"""Cases that were run several times, folded into one outcome each."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from core.evals.eval_run import EvalCase


@dataclass(frozen=True, slots=True, kw_only=True)
class FlakyCase:
    """A case whose repeated runs disagree: it passed in `passed` of `runs`."""

    case: str
    passed: int
    runs: int


def number_repeats(cases: Iterable[EvalCase]) -> tuple[EvalCase, ...]:
    """Number the runs of a case that a tool wrote several times without saying which run it is.

    Those of one name with another input are other cases; they keep their number, so that `fold_repeats` refuses them.
    """
    found: list[EvalCase] = []
    runs: Counter[tuple[str, str, str]] = Counter()
    for case in cases:
        key = case.version, case.case, case.content
        found.append(replace(case, repeat=runs[key]) if runs[key] else case)
        runs[key] += 1
    return tuple(found)


def fold_repeats(cases: Sequence[EvalCase]) -> tuple[tuple[EvalCase, ...], tuple[FlakyCase, ...]]:
    """(one outcome per case, the cases whose runs disagree), for the cases of one version.

    A case passes if more than half of its runs do. If it does not, and a run could not be judged, it is an error.
    Score, cost, latency and tokens are means over the runs, unknown if one run lacks them. Raises ValueError if the
    same repeat of a case is there twice.
    """
    runs: dict[str, list[EvalCase]] = {}
    for case in cases:
        runs.setdefault(case.case, []).append(case)
    if len(runs) == len(cases):
        return tuple(cases), ()
    folded: list[EvalCase] = []
    flaky: list[FlakyCase] = []
    for name, found in runs.items():
        if len({run.repeat for run in found}) < len(found):
            raise ValueError(
                f'case "{name}" appears twice in one run: give each case a name of its own, or number its runs (repeat)'
            )
        passed = sum(run.has_passed for run in found)
        if 0 < passed < len(found):
            flaky.append(FlakyCase(case=name, passed=passed, runs=len(found)))
        folded.append(_fold(found, passed))
    return tuple(folded), tuple(flaky)


def _fold(runs: Sequence[EvalCase], passed: int) -> EvalCase:
    has_passed = 2 * passed > len(runs)
    tokens = _mean([run.tokens for run in runs])
    return replace(
        runs[0],
        passed=has_passed,
        error=not has_passed and any(run.error for run in runs),
        score=_mean([run.score for run in runs]),
        cost=_mean([run.cost for run in runs]),
        latency_ms=_mean([run.latency_ms for run in runs]),
        tokens=None if tokens is None else round(tokens),
        repeat=0,
        is_flaky=0 < passed < len(runs),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
