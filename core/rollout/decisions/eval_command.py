"""An offline eval run held against the gate that asks for it, and the command that records the result."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from core.evals.build_report import build_report
from core.evals.category_names import EVERY_CATEGORY
from core.evals.eval_gate import GateFailed, count_outcomes, evaluate_gate
from core.evals.eval_run import EvalCase, EvalRun, UnreadableEvals
from core.evals.formats.case_columns import CURRENT
from core.evals.repeats import fold_repeats
from core.rollout.commands import RecordEval
from core.rollout.decisions.gate_results import find_gate
from core.rollout.plans.plan import CRITICAL_CATEGORIES, DEFAULT_EVAL_TERMS, EvalTerms, Stage
from core.rollout.refusal import Refused
from core.rollout.state.model import TERMINAL_STATES, Rollout


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSubject:
    """Whose gates a run is held against: a rollout, or a rollout file before anything is applied. `title` names it."""

    title: str
    stages: tuple[Stage, ...]
    from_version: str
    to_version: str  # empty: not named yet
    current: int = 0  # index of the current stage


def build_eval_command(rollout: Rollout, suite: str, run: EvalRun) -> RecordEval:
    """The command that records a run. The gate is found by `suite` or, if that is empty, by the suite of the run.

    Raises `Refused` if no gate of the plan asks for `suite`, and `UnreadableEvals` if there are no cases or cases of an
    unknown version.
    """
    plan = rollout.plan
    subject = GateSubject(
        title=rollout.id,
        stages=plan.stages,
        from_version=plan.from_version,
        to_version=plan.to_version,
        current=rollout.stage_index,
    )
    return judge_run(subject, suite, run)


def judge_run(subject: GateSubject, suite: str, run: EvalRun) -> RecordEval:
    """As `build_eval_command`, for the gates of a rollout or of a file."""
    suite = suite or _match_suite(subject, run.suite)
    stage = subject.stages[find_gate(subject.stages, suite, subject.title, subject.current)]
    asked_for = suite or (stage.terms.suite if stage.terms else "")
    new, old = _split_versions(subject, run)
    try:
        (new_cases, flaky), (old_cases, _) = fold_repeats(new), fold_repeats(old)
        reasons, cases = _judge_against_terms(stage, new_cases, old_cases)
    except ValueError as error:
        raise UnreadableEvals(f"{error}.") from None
    counts = count_outcomes(new_cases)
    terms = _effective_terms(stage)
    return RecordEval(
        suite=asked_for,
        ok=not reasons,
        passed=counts.passed,
        failed=counts.failed,
        errors=counts.errors,
        reasons=reasons,
        cases=cases,
        digest=_digest_cases(asked_for, run.cases),
        report=build_report(
            run,
            new_cases,
            old_cases,
            flaky,
            runs=len(new),
            min_pass_rate=terms.min_pass_rate,
            by_lower_bound=bool(terms.by_lower_bound),
            max_cost_rise=terms.max_cost_rise,
            max_p95_rise=terms.max_p95_rise,
        ),
    )


def find_waiting_rollout(rollouts: Iterable[Rollout], suite: str) -> Rollout:
    """The only rollout that still needs results of `suite` (of any, if it is empty). Raises `Refused` if it is not
    clear which."""
    waiting = [rollout for rollout in rollouts if _awaits_results(rollout, suite)]
    if len(waiting) == 1:
        return waiting[0]
    of = f" of {suite}" if suite else ""
    if not waiting:
        raise Refused(f"No open rollout waits for results{of}.", hint="Plan it first: rollout apply FILE.")
    named = ", ".join(f"{rollout.id} {rollout.plan.name}" for rollout in waiting)
    raise Refused(f"{len(waiting)} rollouts wait for results{of}: {named}.", hint="Say which: --rollout R-1.")


def _awaits_results(rollout: Rollout, suite: str) -> bool:
    """Whether a gate that is not behind the rollout has no results that passed."""
    return rollout.state not in TERMINAL_STATES and any(
        stage.terms is not None
        and index >= rollout.stage_index
        and (not suite or stage.terms.suite == suite)
        and not ((known := rollout.evals.get(index)) is not None and known.ok)
        for index, stage in enumerate(rollout.plan.stages)
    )


def _match_suite(subject: GateSubject, suite: str) -> str:
    """The suite that the run names, if a gate asks for exactly that."""
    asked = {stage.terms.suite for stage in subject.stages if stage.terms is not None}
    return suite if suite in asked else ""


def _split_versions(subject: GateSubject, run: EvalRun) -> tuple[list[EvalCase], list[EvalCase]]:
    """(cases of the new version, cases of the current one)."""
    current, new = {CURRENT, subject.from_version}, {"", subject.to_version}
    strangers = {case.version for case in run.cases} - current - new
    if len(strangers) == 1 and not subject.to_version:
        new, strangers = new | strangers, set()
    if strangers:
        known = f"{subject.from_version} and {subject.to_version or 'one more'}"
        raise UnreadableEvals(
            f"There are rows of version {', '.join(sorted(strangers))[:200]}, but {subject.title} compares {known}. "
            "Use these names in the tool, too: as labels of prompts or providers, or in the column version."
        )
    found = [case for case in run.cases if case.version in new]
    if not found or run.label in current:
        raise UnreadableEvals(
            f"The run has no case of {subject.to_version or 'the new version'}. It needs at least one."
        )
    return found, [case for case in run.cases if case.version in current]


def _effective_terms(stage: Stage) -> EvalTerms:
    """The terms of a gate: the file's, or the built-in ones if it gives none."""
    assert stage.terms is not None, "only gates with terms are found"
    return DEFAULT_EVAL_TERMS[stage.kind] if stage.terms.is_empty else stage.terms


def _judge_against_terms(
    stage: Stage, new: Sequence[EvalCase], old: Sequence[EvalCase]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(reasons, case ids) why the run fails the stage's terms; both empty if it passes."""
    terms = _effective_terms(stage)
    named = terms.no_new_failures_in
    outcome = evaluate_gate(
        new,
        old or None,
        min_pass_rate=terms.min_pass_rate,
        by_lower_bound=bool(terms.by_lower_bound),
        no_new_failures_in=EVERY_CATEGORY if {"*", "all"} & set(named) else named,
        optional_categories=CRITICAL_CATEGORIES if stage.terms is not None and stage.terms.is_empty else (),
        compare_to_current=terms.compare_to_current,
        max_cost_rise=terms.max_cost_rise,
        max_p95_rise=terms.max_p95_rise,
    )
    return (outcome.reasons, outcome.case_ids) if isinstance(outcome, GateFailed) else ((), ())


def _digest_cases(suite: str, cases: Sequence[EvalCase]) -> str:
    """A hash that is the same for the same cases in any order, so that a run submitted twice is recognised."""
    lines = sorted(
        f"{c.version}\0{c.case}\0{c.category}\0{c.passed}\0{c.error}\0{c.cost!r}\0{c.latency_ms!r}\0{c.repeat}"
        for c in cases
    )
    return sha256("\n".join([suite, *lines]).encode()).hexdigest()[:16]
