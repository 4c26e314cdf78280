"""Check that the limits cover what they should, once each, and do not forbid what the file expects."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from core import durations
from core.files.build_plan import build_limits, build_stages
from core.files.kinds.rollout_file import RolloutFile
from core.files.sections.limit_terms import LimitTerms
from core.files.syntax.problems import FieldPath, FileProblem
from core.judging.limits.limits import Limit, LimitKind, LimitRole, LimitScale
from core.rollout.plans.plan import Expectation, Risk

WATCHED_METRICS = {
    "quality": {"eval_pass_rate", "critical_fail_rate", "eval_score", "groundedness_rate"},
    "cost": {"cost_per_request", "cost_per_conversation"},
    "latency": {"latency_p50", "latency_p95", "ttft_p95"},
}


def check(file: RolloutFile) -> Iterator[FileProblem]:
    """Duplicates, gaps, and expectations that a limit forbids."""
    yield from _check_duplicates(file, "rollback_when", file.rollback_when)
    yield from _check_duplicates(file, "hold_when", file.hold_when)
    yield from _check_signals(file)
    yield from _check_lasting(file, "rollback_when", file.rollback_when)
    yield from _check_lasting(file, "hold_when", file.hold_when)
    yield from _check_watched_metrics(file)
    yield from _check_contradictions(file, "rollback_when", file.rollback_when, LimitRole.ROLLBACK)
    yield from _check_contradictions(file, "hold_when", file.hold_when, LimitRole.HOLD)


def _check_duplicates(file: RolloutFile, name: str, terms: Sequence[LimitTerms]) -> Iterator[FileProblem]:
    first: dict[tuple[str, LimitKind], FieldPath] = {}
    for number, limit in enumerate(terms):
        key, path = (limit.metric, limit.kind), (name, number)
        if key in first:
            line = file.source.find_spot(first[key]).line
            yield file.source.problem_at(
                (*path, limit.kind.value),
                f"{limit.metric} {limit.kind.value} is written twice; the first is on line {line}",
                at_key=True,
                also=first[key],
            )
        first.setdefault(key, path)


def _check_signals(file: RolloutFile) -> Iterator[FileProblem]:
    for number, limit in enumerate(file.rollback_when):
        if limit.entry.is_signal and limit.to_limit(LimitRole.ROLLBACK).can_act:
            yield file.source.problem_at(
                ("rollback_when", number, "metric"),
                f"{limit.metric} is a signal: what people do has many causes, so a shift usually holds a rollout for "
                "somebody to look at. Write it under `hold_when`, unless it is meant to roll back by itself",
                severity="warning",
            )


def _check_lasting(file: RolloutFile, name: str, terms: Sequence[LimitTerms]) -> Iterator[FileProblem]:
    """A limit that has to be broken for longer than all stages last would not act."""
    longest = sum((stage.longest_hold for stage in build_stages(file)), timedelta(0))
    for number, limit in enumerate(terms):
        if limit.lasting is not None and limit.lasting > longest:
            yield file.source.problem_at(
                (name, number, "for"),
                f"all stages together last {durations.format_exact(longest)} unless they are extended, so this limit "
                "would not act: write a shorter time",
                severity="warning",
            )


def _check_watched_metrics(file: RolloutFile) -> Iterator[FileProblem]:
    acting = {limit.metric for limit in build_limits(file) if limit.role is LimitRole.ROLLBACK and limit.can_act}
    missing = [name for name, metrics in WATCHED_METRICS.items() if not metrics & acting]
    if missing:
        yield file.source.problem_at(
            ("rollback_when",),
            f"no limit covers {' or '.join(missing)}: add one such as "
            + {"quality": "eval_pass_rate drops_by 2pp", "cost": "cost_per_request rises_by 15%"}.get(
                missing[0], "latency_p95 exceeds 4000ms"
            ),
            at_key=True,
            severity="error" if file.effective_risk is Risk.HIGH else "warning",
        )


def _check_contradictions(
    file: RolloutFile, name: str, terms: Sequence[LimitTerms], role: LimitRole
) -> Iterator[FileProblem]:
    for metric, expected in file.expectations.items():
        expectation = expected.to_expectation(metric)
        for number, written in enumerate(terms):
            limit = written.to_limit(role)
            if limit.metric != metric or not limit.can_act:
                continue
            here: FieldPath = ("expectations", metric, "range")
            there: FieldPath = (name, number, limit.kind.value)
            if _is_expected_harm(limit, expectation):
                yield file.source.problem_at(
                    there,
                    f"line {file.source.find_spot(here).line} expects harm in {metric}, so it is proven before long, "
                    "and one estimate beyond the limit is enough then: write confidence: strict, which asks for proof "
                    "that the limit is broken",
                    severity="warning",
                    also=here,
                )
            if not _forbids_expectation(limit, expectation):
                continue
            lines = file.source.find_spot(here).line, file.source.find_spot(there).line
            does = "forbids" if role is LimitRole.ROLLBACK else "stops for"
            yield file.source.problem_at(
                here,
                f"line {lines[0]} expects what line {lines[1]} {does}: widen the limit or expect less",
                severity="error" if role is LimitRole.ROLLBACK else "warning",
                also=there,
            )


def _is_expected_harm(limit: Limit, expectation: Expectation) -> bool:
    """Whether the file expects a change for the worse, by at least something and within the limit, of which the limit
    asks no more than that there is harm."""
    low, high = expectation.low, expectation.high
    if low is None or high is None or limit.strict:
        return False
    if expectation.points != (limit.scale is LimitScale.POINTS) or _forbids_expectation(limit, expectation):
        return False
    if limit.kind is LimitKind.DROPS_BY:
        return high < 0
    return limit.kind is LimitKind.RISES_BY and low > 0


def _forbids_expectation(limit: Limit, expectation: Expectation) -> bool:
    """Whether the expected range exceeds the limit. False for ranges in another scale, which cannot be compared."""
    low, high = expectation.low, expectation.high
    if low is None or high is None or expectation.points != (limit.scale is LimitScale.POINTS):
        return False
    up, down = high > limit.amount, -low > limit.amount
    match limit.kind:
        case LimitKind.RISES_BY | LimitKind.EXCEEDS_NORMAL_BY:
            return up
        case LimitKind.DROPS_BY:
            return down
        case LimitKind.CHANGES_BY:
            return up or down
        case LimitKind.EXCEEDS | LimitKind.RATE_ABOVE:
            return False  # an absolute level says nothing about a change
