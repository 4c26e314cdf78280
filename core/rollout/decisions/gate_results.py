"""The gates of a plan: which one asks for a result, what is recorded of it, and whether it has passed."""

from collections.abc import Sequence

from core.rollout import commands as c
from core.rollout.context import Context
from core.rollout.plans.plan import Stage, StageKind
from core.rollout.refusal import Refused
from core.rollout.serving import driving
from core.rollout.state import events as e
from core.rollout.state import holds
from core.rollout.state.model import TERMINAL_STATES, Rollout, RolloutState


def is_gate_passed(rollout: Rollout) -> bool:
    """Whether the gate of the current stage has what it requires."""
    stage = rollout.current_stage
    if stage.kind is StageKind.ROLLBACK_DRILL:
        seconds = rollout.drilled.get(rollout.stage_index)
        return seconds is not None and (stage.drill_within is None or seconds <= stage.drill_within.total_seconds())
    result = rollout.evals.get(rollout.stage_index)
    return result is not None and (result.ok or f"eval:{result.digest}" in rollout.overridden)


def find_gate_index(rollout: Rollout, suite: str) -> int:
    """The index of the offline gate that asks for `suite`: the current one, or the next. A gate that names no suite
    takes any, and so does the only one.

    Raises `Refused` if there is none.
    """
    return find_gate(rollout.plan.stages, suite, rollout.id, rollout.stage_index)


def find_gate(stages: Sequence[Stage], suite: str, title: str, current: int) -> int:
    """As `find_gate_index`, for the stages of what is called `title`; `current` is the index of the current stage."""
    asking = [i for i, stage in enumerate(stages) if stage.terms is not None]
    named = [i for i in asking if (terms := stages[i].terms) is not None and suite and terms.suite == suite]
    unnamed = [i for i in asking if (terms := stages[i].terms) is not None and not terms.suite]
    if fitting := named or (asking if not suite or len(asking) == 1 else unnamed):
        return next((i for i in fitting if i >= current), fitting[-1])
    suites = ", ".join(terms.suite or stages[i].name for i in asking if (terms := stages[i].terms))
    raise Refused(
        f"No gate of {title} expects {suite or 'eval results'}.",
        hint=f"Its gates expect: {suites}." if suites else "Its plan has no eval stage.",
    )


def record_eval(rollout: Rollout, command: c.RecordEval, context: Context) -> list[e.RolloutEvent]:
    """The result of an offline eval for the gate that asks for it, with a hold if it fails the current stage."""
    if rollout.state in TERMINAL_STATES:
        raise Refused(f"{rollout.id} is {rollout.state.replace('_', ' ')}, so these results come too late.")
    index = find_gate_index(rollout, command.suite)
    known = rollout.evals.get(index)
    if known is not None and known.digest == command.digest:
        return []
    if index < rollout.stage_index:
        raise Refused(f"The {rollout.plan.stages[index].name} stage has ended; results are accepted only before that.")
    recorded = e.EvalRecorded(
        stage=index,
        suite=command.suite,
        ok=command.ok,
        passed=command.passed,
        failed=command.failed,
        errors=command.errors,
        reasons=command.reasons,
        cases=command.cases,
        digest=command.digest,
        by=context.by.id,
        report=command.report,
    )
    if command.ok or rollout.state is not RolloutState.RUNNING or index != rollout.stage_index:
        return [recorded]
    return [
        recorded,
        e.Held(key=f"eval:{command.digest}", text=f"{command.suite or 'eval'} failed: {command.reasons[0]}"),
    ]


def record_drill(rollout: Rollout, command: c.RecordDrill) -> list[e.RolloutEvent]:
    """How long the rollback drill took, with a hold if that is more than was agreed."""
    stage = rollout.stage
    if stage is None or not driving.is_drilling(rollout) or not driving.has_answered_drill(rollout):
        return []
    ok = stage.drill_within is None or command.seconds <= stage.drill_within.total_seconds()
    finished = e.DrillFinished(stage=rollout.stage_index, seconds=command.seconds, ok=ok)
    if ok:
        return [finished]
    text = (
        f"the drill took {command.seconds:.1f} s; at most {stage.drill_within.total_seconds():g} s were agreed. "  # type: ignore[union-attr]
        "A resume repeats it"
    )
    return [finished, e.Held(key=holds.DRILL, text=text)]
