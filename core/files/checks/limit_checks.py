"""Check that the limits cover what they should, once each, and do not forbid what the file expects."""

from collections.abc import Iterator, Sequence

from core.files.build_plan import limits
from core.files.rollout_file import RolloutFile
from core.files.syntax.limit_terms import LimitTerms
from core.files.syntax.problems import Path, Problem
from core.judging.model.limits import Kind, Limit, Role, Scale
from core.rollout.plan import Expectation, Risk

WATCHED = {
    "quality": {"eval_pass_rate", "critical_fail_rate", "eval_score", "groundedness_rate"},
    "cost": {"cost_per_request", "cost_per_conversation"},
    "latency": {"latency_p50", "latency_p95", "ttft_p95"},
}


def check(file: RolloutFile) -> Iterator[Problem]:
    """Duplicates, gaps, and expectations that a limit forbids."""
    yield from _twice(file, "rollback_when", file.rollback_when)
    yield from _twice(file, "hold_when", file.hold_when)
    yield from _unwatched(file)
    yield from _contradictions(file, "rollback_when", file.rollback_when, Role.ROLLBACK)
    yield from _contradictions(file, "hold_when", file.hold_when, Role.HOLD)


def _twice(file: RolloutFile, name: str, terms: Sequence[LimitTerms]) -> Iterator[Problem]:
    first: dict[tuple[str, Kind], Path] = {}
    for number, limit in enumerate(terms):
        key, path = (limit.metric, limit.kind), (name, number)
        if key in first:
            line = file.source.spot(first[key]).line
            yield file.source.problem(
                (*path, limit.kind.value),
                f"{limit.metric} {limit.kind.value} is written twice; the first is on line {line}",
                at_key=True,
                also=first[key],
            )
        first.setdefault(key, path)


def _unwatched(file: RolloutFile) -> Iterator[Problem]:
    acting = {limit.metric for limit in limits(file) if limit.role is Role.ROLLBACK and limit.acts}
    missing = [name for name, metrics in WATCHED.items() if not metrics & acting]
    if missing:
        yield file.source.problem(
            ("rollback_when",),
            f"nothing here looks at {' or '.join(missing)}: add a limit such as "
            + {"quality": "eval_pass_rate drops_by 2pp", "cost": "cost_per_request rises_by 15%"}.get(
                missing[0], "latency_p95 exceeds 4000ms"
            ),
            at_key=True,
            severity="error" if file.careful is Risk.HIGH else "warning",
        )


def _contradictions(file: RolloutFile, name: str, terms: Sequence[LimitTerms], role: Role) -> Iterator[Problem]:
    for metric, expected in file.expectations.items():
        expectation = expected.plan(metric)
        for number, written in enumerate(terms):
            limit = written.limit(role)
            if limit.metric != metric or not limit.acts or not _forbids(limit, expectation):
                continue
            here: Path = ("expectations", metric, "range")
            there: Path = (name, number, limit.kind.value)
            lines = file.source.spot(here).line, file.source.spot(there).line
            does = "forbids" if role is Role.ROLLBACK else "stops for"
            yield file.source.problem(
                here,
                f"line {lines[0]} expects what line {lines[1]} {does}: widen the limit or expect less",
                severity="error" if role is Role.ROLLBACK else "warning",
                also=there,
            )


def _forbids(limit: Limit, expectation: Expectation) -> bool:
    """Whether the expected range exceeds the limit. False for ranges in another scale, which cannot be compared."""
    low, high = expectation.low, expectation.high
    if low is None or high is None or expectation.points != (limit.scale is Scale.POINTS):
        return False
    up, down = high > limit.amount, -low > limit.amount
    match limit.kind:
        case Kind.RISES_BY | Kind.EXCEEDS_NORMAL_BY:
            return up
        case Kind.DROPS_BY:
            return down
        case Kind.CHANGES_BY:
            return up or down
        case Kind.EXCEEDS | Kind.RATE_ABOVE:
            return False  # an absolute level says nothing about a change
