"""From the rows of an offline run to a command: parsed, held against its gate's terms, and counted."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from core.judging.eval_gate import EVERY_CATEGORY, EvalCase, Failed, count, gate
from core.rollout.commands import RecordEval
from core.rollout.model import Rollout
from core.rollout.plan import EvalTerms
from core.rollout.ticking import gate_of

MOST_CASES = 100_000
_COLUMNS = ("case", "category", "pass", "version", "cost", "latency_ms")
_TRUE = frozenset({"true", "1", "yes", "y", "pass", "passed", "ok"})
_FALSE = frozenset({"false", "0", "no", "n", "fail", "failed"})
_ERROR = frozenset({"error", "errored", "timeout", ""})


class Unreadable(ValueError):
    """Rows that are no eval results; the text names the row and what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A case of one version's run; `version` empty means the version under test. Cost in dollars."""

    case: EvalCase
    version: str = ""
    cost: float | None = None
    latency_ms: float | None = None


def read_csv(text: str) -> tuple[Row, ...]:
    """Columns `case,category,pass`, and if there: `version` (rows of the current version are the baseline), `cost`
    and `latency_ms`. `pass` is true/false, 1/0, pass/fail, or error. Raises `Unreadable`."""
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), skipinitialspace=True, strict=True)
    try:
        names = [name.strip().lower() for name in reader.fieldnames or ()]
        if missing := [c for c in _COLUMNS[:3] if c not in names]:
            raise Unreadable(f"The first line must name the columns case,category,pass; missing: {', '.join(missing)}.")
        reader.fieldnames = names
        return _rows((line, reader.line_num) for line in reader)
    except csv.Error as error:
        raise Unreadable(f"Line {reader.line_num} is not CSV: {error}.") from None


def read_json(cases: Any, baseline: Any = None) -> tuple[Row, ...]:
    """Cases as objects `{"case", "category", "pass", "error"?, "cost"?, "latency_ms"?}`; `baseline` likewise, of the
    current version (its rows get the version `current`). Raises `Unreadable`."""
    rows = _rows(_objects(cases, "cases"))
    if baseline is None:
        return rows
    before = _rows(_objects(baseline, "baseline"))
    return (*rows, *(Row(case=r.case, version="current", cost=r.cost, latency_ms=r.latency_ms) for r in before))


def record(rollout: Rollout, suite: str, rows: Sequence[Row]) -> RecordEval:
    """The command that hands a run in. Refused where no gate of the plan asks for `suite`; Unreadable without cases."""
    terms = rollout.plan.stages[gate_of(rollout, suite)].terms
    assert terms is not None, "gate_of names gates that have terms"
    current = {"current", rollout.plan.from_version}
    if strangers := {r.version for r in rows} - current - {"", rollout.plan.to_version}:
        known = f"{rollout.plan.from_version} and {rollout.plan.to_version}"
        raise Unreadable(f"Rows of version {', '.join(sorted(strangers))}: {rollout.id} is about {known}.")
    new = [r for r in rows if r.version not in current]
    old = [r for r in rows if r.version in current]
    if not new:
        raise Unreadable(f"No cases of {rollout.plan.to_version}: a run needs at least one.")
    reasons, cases = _held_against(terms, new, old)
    counts = count([r.case for r in new])
    return RecordEval(
        suite=suite or terms.suite,
        ok=not reasons,
        passed=counts.passed,
        failed=counts.failed,
        errors=counts.errors,
        reasons=reasons,
        cases=cases,
        digest=_digest(suite or terms.suite, rows),
    )


def _held_against(terms: EvalTerms, new: Sequence[Row], old: Sequence[Row]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    named = terms.no_new_failures_in
    categories: tuple[str, ...] | Literal["all"] = EVERY_CATEGORY if {"*", "all"} & set(named) else named
    try:
        outcome = gate(
            [r.case for r in new],
            [r.case for r in old] or None,
            min_pass_rate=terms.min_pass_rate,
            no_new_failures_in=categories,
            compare_to_current=terms.compare_to_current,
        )
    except ValueError as error:
        raise Unreadable(f"{error}.") from None
    reasons, cases = (outcome.reasons, outcome.case_ids) if isinstance(outcome, Failed) else ((), ())
    for name, most, before, after in (
        ("cost", terms.max_cost_rise, _mean(_values(old, "cost")), _mean(_values(new, "cost"))),
        ("p95 latency", terms.max_p95_rise, _p95(_values(old, "latency_ms")), _p95(_values(new, "latency_ms"))),
    ):
        if most is not None and (why := _rise(name, most, before, after)):
            reasons = (*reasons, why)
    return reasons, cases


def _rise(name: str, most: float, before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return f"{name} cannot be compared: the run needs it for each case, of the new and of the current version"
    if after <= before * (1 + most):
        return ""
    rise = f"{after / before - 1:+.1%}" if before > 0 else f"from 0 to {after:g}"
    return f"{name} rises by {rise}, at most {most:+.0%} is allowed"


def _values(rows: Sequence[Row], name: str) -> list[float] | None:
    """None unless every case has the value: a mean over some of them could hide the dear ones."""
    found = [getattr(r, name) for r in rows]
    return None if not found or None in found else found


def _mean(values: list[float] | None) -> float | None:
    return None if values is None else sum(values) / len(values)


def _p95(values: list[float] | None) -> float | None:
    """The nearest rank: the smallest value that at least 95 % do not exceed."""
    return None if values is None else sorted(values)[-(-len(values) * 95 // 100) - 1]


def _rows(lines: Any) -> tuple[Row, ...]:
    found: list[Row] = []
    for line, number in lines:
        found.append(_row(line, f"Line {number}" if isinstance(number, int) else number))
        if len(found) > MOST_CASES:
            raise Unreadable(f"Over {MOST_CASES:,} cases: split the run by suite.")
    return tuple(found)


def _objects(cases: Any, name: str) -> Any:
    if not isinstance(cases, list):
        raise Unreadable(f'"{name}" must be a list of objects like {{"case", "category", "pass"}}.')
    for index, case in enumerate(cases):
        if not isinstance(case, dict):
            raise Unreadable(f'{name}[{index}] must be an object like {{"case", "category", "pass"}}.')
        yield case, f"{name}[{index}]"


def _row(line: Mapping[Any, Any], where: str) -> Row:
    if None in line:
        raise Unreadable(f"{where} has more fields than the first line names.")
    identity = str(line.get("case") or "").strip()
    if not identity:
        raise Unreadable(f"{where} names no case.")
    passed, error = _outcome(line, where)
    return Row(
        case=EvalCase(case=identity, category=str(line.get("category") or "").strip(), passed=passed, error=error),
        version=str(line.get("version") or "").strip().rpartition("@")[2],
        cost=_number(line.get("cost"), where, "cost"),
        latency_ms=_number(line.get("latency_ms"), where, "latency_ms"),
    )


def _outcome(line: Mapping[str, Any], where: str) -> tuple[bool, bool]:
    """(passed, error). A case without an outcome could not be judged: an error, never a pass."""
    if line.get("error") not in (None, False, ""):
        return False, True
    value = line.get("pass", line.get("passed"))
    word = "" if value is None else str(value).strip().lower()
    if word in _TRUE:
        return True, False
    if word in _FALSE:
        return False, False
    if word in _ERROR:
        return False, True
    raise Unreadable(f'{where}: pass is "{word[:40]}"; write true, false or error.')


def _number(value: Any, where: str, name: str) -> float | None:
    if value is None or value == "":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number < float("inf"):
        raise Unreadable(f"{where}: {name} is {str(value)[:40]!r}; write a number of at least 0.")
    return number


def _digest(suite: str, rows: Sequence[Row]) -> str:
    """The same for the same rows in any order, so that a run handed in twice is recognised."""
    plain = sorted(
        [r.version, r.case.case, r.case.category, r.case.passed, r.case.error, repr(r.cost), repr(r.latency_ms)]
        for r in rows
    )
    return sha256(json.dumps([suite, plain]).encode()).hexdigest()[:16]
