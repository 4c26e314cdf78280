"""Judge an offline eval run against its gate and build the command that records the result."""

import json
from collections.abc import Sequence
from hashlib import sha256

from core.evals.eval_gate import EVERY_CATEGORY, GateFailed, count_outcomes, evaluate_gate
from core.evals.read_results import EvalRow, UnreadableEvals
from core.rollout.commands import RecordEval
from core.rollout.engine_decisions import find_gate_index
from core.rollout.model import Rollout
from core.rollout.plan import CRITICAL_CATEGORIES, DEFAULT_EVAL_TERMS, Stage


def build_eval_command(rollout: Rollout, suite: str, rows: Sequence[EvalRow]) -> RecordEval:
    """The command that records a run. The gate is found by `suite`.

    Raises `Refused` if no gate of the plan asks for `suite`, and `UnreadableEvals` if there are no cases or rows of an
    unknown version.
    """
    stage = rollout.plan.stages[find_gate_index(rollout, suite)]
    asked_for = suite or (stage.terms.suite if stage.terms else "")
    current = {"current", rollout.plan.from_version}
    if strangers := {r.version for r in rows} - current - {"", rollout.plan.to_version}:
        known = f"{rollout.plan.from_version} and {rollout.plan.to_version}"
        raise UnreadableEvals(
            f"There are rows of version {', '.join(sorted(strangers))}, but {rollout.id} compares {known}."
        )
    new = [r for r in rows if r.version not in current]
    old = [r for r in rows if r.version in current]
    if not new:
        raise UnreadableEvals(f"The run has no case of {rollout.plan.to_version}. It needs at least one.")
    reasons, cases = _judge_against_terms(stage, new, old)
    counts = count_outcomes([r.case for r in new])
    return RecordEval(
        suite=asked_for,
        ok=not reasons,
        passed=counts.passed,
        failed=counts.failed,
        errors=counts.errors,
        reasons=reasons,
        cases=cases,
        digest=_digest_rows(asked_for, rows),
    )


def _judge_against_terms(
    stage: Stage, new: Sequence[EvalRow], old: Sequence[EvalRow]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(reasons, case ids) why the run fails the stage's terms; both empty if it passes."""
    written = stage.terms
    assert written is not None, "only gates with terms are found"
    terms = DEFAULT_EVAL_TERMS[stage.kind] if written.is_empty else written
    named = terms.no_new_failures_in
    try:
        outcome = evaluate_gate(
            [r.case for r in new],
            [r.case for r in old] or None,
            min_pass_rate=terms.min_pass_rate,
            no_new_failures_in=EVERY_CATEGORY if {"*", "all"} & set(named) else named,
            optional_categories=CRITICAL_CATEGORIES if written.is_empty else (),
            compare_to_current=terms.compare_to_current,
            max_cost_rise=terms.max_cost_rise,
            max_p95_rise=terms.max_p95_rise,
        )
    except ValueError as error:
        raise UnreadableEvals(f"{error}.") from None
    return (outcome.reasons, outcome.case_ids) if isinstance(outcome, GateFailed) else ((), ())


def _digest_rows(suite: str, rows: Sequence[EvalRow]) -> str:
    """A hash that is the same for the same rows in any order, so that a run submitted twice is recognised."""
    plain = sorted(
        [
            r.version,
            r.case.case,
            r.case.category,
            r.case.passed,
            r.case.error,
            repr(r.case.cost),
            repr(r.case.latency_ms),
        ]
        for r in rows
    )
    return sha256(json.dumps([suite, plain]).encode()).hexdigest()[:16]
